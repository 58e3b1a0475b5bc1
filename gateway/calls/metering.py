"""Metering: answered calls and look-ups of jobs are counted in memory and added to the counters once a second.

A request counts with its status even if the caller left before the answer, since its work is done by then. A request
whose caller left before it was complete is not counted, nor is an answer that is replayed under an Idempotency-Key.
Asynchronous jobs are counted as they end (shared/asynchronous/).
"""

import asyncio
from collections import Counter
from datetime import UTC, datetime
from typing import Final

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler
from redis import RedisError
from redis.asyncio import Redis

from gateway.http.answers import STATUS, UNMETERED
from gateway.http.headers import REPLAYED
from gateway.http.routing import call_of
from shared import lua
from shared.calls import Counted
from shared.contract import Status
from shared.control import Key
from shared.usage import DAYS, NOBODY, counter, day_key

log = structlog.stdlib.get_logger(__name__)

FLUSH_S: Final = 1.0
"""Seconds between two flushes to Redis: a killed gateway loses the counts of at most so long."""

CLOSE_S: Final = 5.0
"""Seconds that the last flushes may take when the gateway stops while the broker is away."""

RETRY_S: Final = 0.2

REMEMBER_S: Final = 86_400
"""Seconds for which the number of a gateway's last batch is kept, so that a batch that is tried again counts once."""

_ADD: Final = lua.load(__package__, "metering")


class Meter:
    """The counts of one gateway, in bounded memory: one counter a day for each key, call and status."""

    def __init__(self, redis: Redis, gateway_id: str) -> None:
        self._add = redis.register_script(_ADD)
        self._last_batch = f"fs:usage:flush:{gateway_id}"
        self._gathered: dict[str, Counter[str]] = {}
        self._batches: list[tuple[str, Counter[str]]] = []
        self._added = 0

    def count(self, call: Counted, status: Status, key: Key | None) -> None:
        """Count an answered request. key None: no key let it in."""
        tenant, key_id = (key.tenant, key.id) if key else (NOBODY, NOBODY)
        today = datetime.now(UTC).date().isoformat()
        self._gathered.setdefault(today, Counter())[counter(tenant, key_id, call.name, status)] += 1

    async def flush(self) -> None:
        """Add the counts to the counters in Redis, a batch for each day. Raises RedisError or OSError, which loses
        nothing: the next flush sends the remaining batches again, under the same numbers.
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
        """Flush the last counts. They are lost only if the broker stays away for CLOSE_S."""
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
async def metered(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Count the answer of each call. Must be outside the middleware that turns errors into answers."""
    response = await handler(request)
    call, status = call_of(request), response.get(STATUS)
    if status is not None and call is not None and REPLAYED not in response.headers and UNMETERED not in response:
        request.app[METER].count(call, status, request.get(CALLER))
    return response
