"""`GET /admin/v1/usage`: the usage counters as JSON or CSV."""

from collections.abc import Mapping
from datetime import date
from typing import Final

from aiohttp import web
from redis.asyncio import Redis

from gateway.http.answers import answer
from shared.contract import Status
from shared.errors import InvalidRequest
from shared.usage import Period, as_csv, as_dict, parse_day, read

_KNOWN: Final = frozenset({"from", "to", "tenant", "format"})


async def usage_answer(redis: Redis, query: Mapping[str, str]) -> web.Response:
    """Return the counters of a query with `from` and `to` (days, both included), `tenant` and `format` (json or csv).

    Raises InvalidRequest for an invalid query, Unknown for a tenant that never existed, and redis.RedisError when Redis
    cannot be reached.
    """
    if set(query) - _KNOWN:
        raise InvalidRequest(f"query may have {', '.join(sorted(_KNOWN))} alone")
    wanted = query.get("format", "json")
    if wanted not in ("json", "csv"):
        raise InvalidRequest("format must be json or csv")
    period = Period(_day(query, "from"), _day(query, "to"))
    rows = await read(redis, period, query.get("tenant"))
    if wanted == "json":
        return answer(Status.OK, as_dict(rows))
    return web.Response(
        text=as_csv(rows),
        content_type="text/csv",
        charset="utf-8",
        headers={"Content-Disposition": 'attachment; filename="usage.csv"'},
    )


def _day(query: Mapping[str, str], name: str) -> date | None:
    text = query.get(name)
    try:
        return None if text is None else parse_day(text)
    except ValueError:
        raise InvalidRequest(f"{name} must be a day, YYYY-MM-DD") from None
