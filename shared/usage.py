"""Usage: counters of answered requests by day, tenant, key, call and status. The tariff applies when they are read.

    fs:usage:days               set of days that have counters, YYYY-MM-DD in UTC
    fs:usage:<day>              hash: <tenant>|<key id>|<call>|<status> -> requests answered
    fs:usage:flush:<gateway>    number of the last batch that this gateway added; kept for a day

Gateways write them (gateway/calls/metering.py); those of asynchronous jobs are written as a job ends
(shared/asynchronous/). Nothing removes them, because bills are based on them.
"""

import csv
import io
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import date
from typing import Any, Final, cast

from redis.asyncio import Redis

from shared.calls import CALLS, Call
from shared.contract import Status
from shared.control import Control, Unknown

DAYS: Final = "fs:usage:days"

NOBODY: Final = "?"
"""Tenant and key of requests without a valid key. No tenant can have this name."""

_SEPARATOR: Final = "|"
"""Separator of the parts of a counter, none of which contains it."""

COLUMNS: Final = ("day", "tenant", "key", "call", "status", "count", "charged", "key_name")


Tariff = Mapping[str, frozenset[Status]]
"""The charged statuses of each call by its name."""


def day_key(day: str) -> str:
    """Return the Redis key of a day's counters."""
    return f"fs:usage:{day}"


def counter(tenant: str, key: str, call: str, status: Status) -> str:
    """Return the field of a counter in the hash of its day. call: its name."""
    return counters(tenant, key, call) + status


def counters(tenant: str, key: str, call: str) -> str:
    """Return what the fields of a call's counters begin with, each of which ends with a status."""
    return _SEPARATOR.join((tenant, key, call, ""))


@dataclass(frozen=True, order=True)
class Usage:
    """The number of requests of one day (UTC), key, call and status.

    key: the id of the API key. call: its name. charged: whether the tariff charges them. key_name: the name of the key,
    "" if it is no longer known.
    """

    day: date
    tenant: str
    key: str
    call: str
    status: Status
    count: int
    charged: bool
    key_name: str = ""

    def as_row(self) -> dict[str, Any]:
        """Return the values of COLUMNS, for JSON and CSV."""
        return {name: getattr(self, name) for name in COLUMNS} | {"day": self.day.isoformat()}


def parse_day(text: str) -> date:
    """Return a day. Raises ValueError for anything but YYYY-MM-DD."""
    day = date.fromisoformat(text)
    if day.isoformat() != text:  # fromisoformat takes other forms too
        raise ValueError(text)
    return day


@dataclass(frozen=True)
class Period:
    """Days from first to last, both included; None means no bound."""

    first: date | None = None
    last: date | None = None

    def __contains__(self, day: date) -> bool:
        return (self.first is None or self.first <= day) and (self.last is None or day <= self.last)


async def read(redis: Redis, period: Period, tenant: str | None = None, calls: Iterable[Call] = CALLS) -> list[Usage]:
    """Return the counters of a period, of one tenant or of all (NOBODY is one), in the order of Usage's fields. calls:
    the table with the tariff.

    Dropped tenants keep their counters. Raises redis.RedisError if Redis cannot be reached, and Unknown for a tenant
    that neither exists nor has a counter of any day.
    """
    tariff = {call.name: call.charged for call in calls}
    rows = await _counters(redis, period, tenant, tariff)
    if not rows and tenant is not None and tenant != NOBODY:
        await _require_known(redis, tenant, tariff)
    return await _with_key_names(Control(redis), rows)


async def _require_known(redis: Redis, tenant: str, tariff: Tariff) -> None:
    try:
        await Control(redis).tenant(tenant)
    except Unknown as error:
        if not await _counters(redis, Period(), tenant, tariff):
            raise Unknown(f"{error}, and none of that name was ever used; see `facesearch tenants list`") from None


async def _with_key_names(control: Control, rows: list[Usage]) -> list[Usage]:
    """Return the rows with the names of their keys, as far as these are known."""
    names = await control.key_names({row.key for row in rows})
    if more := {row.tenant for row in rows if row.key not in names} - {NOBODY}:
        for tenant in more:  # listing creates missing records, which early releases did not keep
            with suppress(Unknown):
                await control.keys(tenant)
        names = await control.key_names({row.key for row in rows})
    return [replace(row, key_name=names.get(row.key, "")) for row in rows]


async def _counters(redis: Redis, period: Period, tenant: str | None, tariff: Tariff) -> list[Usage]:
    known = cast("set[bytes]", await redis.smembers(DAYS))
    days = sorted(day for day in (date.fromisoformat(text.decode()) for text in known) if day in period)
    async with redis.pipeline(transaction=False) as pipeline:
        for day in days:
            pipeline.hgetall(day_key(day.isoformat()))
        counters = cast("list[dict[bytes, bytes]]", await pipeline.execute())
    usage = [
        _usage(day, name.decode(), int(count), tariff)
        for day, counts in zip(days, counters, strict=True)
        for name, count in counts.items()
    ]
    return sorted(row for row in usage if tenant is None or row.tenant == tenant)


def _usage(day: date, name: str, count: int, tariff: Tariff) -> Usage:
    tenant, key, call, status = name.split(_SEPARATOR)
    # A later release, from which this one was gone back to, may have counted further calls.
    return Usage(day, tenant, key, call, Status(status), count, charged=status in tariff.get(call, ()))


@dataclass
class Total:
    """Number of requests of one tenant."""

    charged: int = 0
    free: int = 0


def totals(rows: Iterable[Usage]) -> dict[str, Total]:
    """Return the total of each tenant, ordered by name."""
    found: defaultdict[str, Total] = defaultdict(Total)
    for row in rows:
        total = found[row.tenant]
        if row.charged:
            total.charged += row.count
        else:
            total.free += row.count
    return dict(sorted(found.items()))


def as_dict(rows: Sequence[Usage]) -> dict[str, Any]:
    """Return the rows by COLUMNS, and the total of each tenant, for JSON."""
    return {
        "rows": [row.as_row() for row in rows],
        "totals": {tenant: asdict(total) for tenant, total in totals(rows).items()},
    }


def as_csv(rows: Iterable[Usage]) -> str:
    """Return the rows as CSV (RFC 4180) with a header line."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS)  # its default dialect is that of the RFC
    writer.writeheader()
    writer.writerows({**row.as_row(), "charged": str(row.charged).lower()} for row in rows)
    return text.getvalue()
