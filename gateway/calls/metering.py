"""Metering: every answered request of the API's calls, counted in memory and added to the counters once a second.

A request counts with the status that was decided for it, whether or not its caller stayed to read the answer: by then
the work is done. A caller who leaves before the request is complete has asked for nothing and is not counted. Nor is an
answer that was given before, or at the same time, under the same Idempotency-Key.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final

import structlog
from aiohttp import web
from redis import RedisError
from redis.asyncio import Redis

from gateway.http.answers import STATUS
from gateway.http.headers import REPLAYED
from gateway.http.routing import call_of
from shared import lua
from shared.calls import Call
from shared.contract import Status
from shared.control import Key
from shared.usage import DAYS, NOBODY, counter, day_key

log = structlog.stdlib.get_logger(__name__)

FLUSH_S: Final = 1.0
"""How often counts go to Redis: the most that a killed gateway forgets."""

CLOSE_S: Final = 5.0
"""How long the last counts may take when the gateway stops, if the broker is away just then."""

RETRY_S: Final = 0.2

REMEMBER_S: Final = 86_400
"""How long the number of a gateway's last batch is kept: a batch may be tried again for so long and counts once."""

_ADD: Final = lua.load(__package__, "metering")


class Meter:
    """Counts of one gateway. Its memory is bounded by what exists: 23 counters a day for each key that was let in."""

    def __init__(self, redis: Redis, gateway_id: str) -> None:
        self._add = redis.register_script(_ADD)
        self._last_batch = f"fs:usage:flush:{gateway_id}"
        self._gathered: dict[str, Counter[str]] = {}
        self._batches: list[tuple[str, Counter[str]]] = []
        self._added = 0

    def count(self, call: Call, status: Status, key: Key | None) -> None:
        """One more answered request; key None: no key let it in."""
        tenant, key_id = (key.tenant, key.id) if key else (NOBODY, NOBODY)
        today = datetime.now(UTC).date().isoformat()
        self._gathered.setdefault(today, Counter())[counter(tenant, key_id, call.name, status)] += 1

    async def flush(self) -> None:
        """Add what was gathered to the counters, a batch for each day. When it raises (RedisError, OSError) nothing is
        lost: the next flush sends what is left of the same batches, under the same numbers, and gathers on.
        """
        if not self._batches:
            self._batches, self._gathered = list(self._gathered.items()), {}
        while self._batches:
            day, counts = self._batches[0]
            pairs = [part for pair in counts.items() for part in pair]
            await self._add([self._last_batch, DAYS, day_key(day)], [self._added + 1, REMEMBER_S, day, *pairs])
            self._added += 1
            del self._batches[0]

    async def run(self) -> None:
        """Flush until cancelled."""
        while True:
            await asyncio.sleep(FLUSH_S)
            try:
                await self.flush()
            except (RedisError, OSError) as error:
                log.warning("usage_kept_back", error=type(error).__name__)

    async def close(self) -> None:
        """The last flushes, which lose nothing unless the broker stays away."""
        try:
            async with asyncio.timeout(CLOSE_S):
                while self._batches or self._gathered:
                    try:
                        await self.flush()
                    except (RedisError, OSError):
                        await asyncio.sleep(RETRY_S)
        except TimeoutError:
            counts = [*self._gathered.values(), *(batch for _, batch in self._batches)]
            log.error("usage_lost", requests=sum(batch.total() for batch in counts))  # noqa: TRY400 -- no traceback is meant


METER: Final = web.AppKey("meter", Meter)
CALLER: Final = web.RequestKey("caller", Key)
"""The key that let the request in."""


@web.middleware
async def metered(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Count the answer of each call; goes around whatever turns errors into answers."""
    response = await handler(request)
    call, status = call_of(request), response.get(STATUS)
    if status is not None and call is not None and REPLAYED not in response.headers:
        request.app[METER].count(call, status, request.get(CALLER))
    return response
