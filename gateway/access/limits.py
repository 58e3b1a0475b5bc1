"""Limits: for each key a rate and a concurrency over all gateways.

    fs:rate:<key id>      when the key's requests so far are paid for, Unix time in microseconds (GCRA)
    fs:leases:<key id>    sorted set: request in flight -> when its lease ends, Unix time in microseconds

PyPI's `limits` (5.8, asynchronous too) knows no concurrency, and takes one round trip to ask for a request and a second
to learn when to come again, by the clock of each gateway. Here one script decides both, by Redis's clock, in one.
"""

import asyncio
import math
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import structlog
from redis import RedisError

from gateway.redis_connection import Script, SharedConnection
from shared import lua
from shared.control import LEAST_RATE, MOST_RATE, Key
from shared.errors import TooFast, TooManyRequests, Unavailable

log = structlog.stdlib.get_logger(__name__)

BURST_S: Final = 1.0
"""So many seconds' worth of requests may come at once, at least one: a caller that was idle is not made to trickle."""

CONCURRENCY_RETRY_S: Final = 1
"""When one of the caller's own requests will end cannot be known; most end within this."""

RELEASE_S: Final = 0.3
"""How long an answer waits until Redis has taken its lease back: a thousand times as long as that takes. Past it the
answer goes out, and Redis takes the lease back when it gets to it."""

_PAID: Final = 0
_TOO_MANY: Final = -1

_TAKE: Final = Script(lua.load(__package__, "limits", PAID=_PAID, TOO_MANY=_TOO_MANY))


class Limits:
    """Lets requests in or refuses them at once. What is refused is metered and not logged.

    rate: requests a second of a key without one of its own; concurrency: its requests at once. 0 is no limit. lease_s:
    how long a request counts as in flight when its gateway died without saying that it ended; to be longer than any
    request takes.
    """

    def __init__(self, redis: SharedConnection, *, rate: float, concurrency: int, lease_s: float) -> None:
        self._redis = redis
        self._rate = rate
        self._concurrency = concurrency
        self._lease_us = round(lease_s * 1e6)

    @asynccontextmanager
    async def hold(self, key: Key) -> AsyncIterator[None]:
        """One request of the key's rate, and one of its concurrency until the end of the block.

        Raises TooManyRequests beyond either, Unavailable when Redis cannot be asked.
        """
        rate = self._rate if key.rate is None else key.rate
        concurrency = self._concurrency if key.concurrency is None else key.concurrency
        if not rate and not concurrency:
            yield
            return
        leases, lease = f"fs:leases:{key.id}", uuid.uuid4().hex
        interval_us = 1e6 / min(max(rate, LEAST_RATE), MOST_RATE) if rate else 0
        burst_us = max(interval_us, BURST_S * 1e6)
        try:
            answer = await self._redis.run(
                _TAKE, [f"fs:rate:{key.id}", leases], [interval_us, burst_us, concurrency, lease, self._lease_us]
            )
        except (RedisError, OSError) as error:
            raise Unavailable(f"limits: {type(error).__name__}") from error
        if answer == _TOO_MANY:
            raise TooManyRequests("too many requests at once", CONCURRENCY_RETRY_S)
        if answer != _PAID:
            raise TooFast("too many requests a second", math.ceil(answer / 1e6))
        try:
            yield
        finally:
            if concurrency:
                await self._release(leases, lease)

    async def _release(self, leases: str, lease: str) -> None:
        """Before the answer, not after it: a caller that counts its own requests is never refused wrongly."""
        try:
            async with asyncio.timeout(RELEASE_S):
                await self._redis.call("ZREM", leases, lease)
        except (RedisError, OSError) as error:  # TimeoutError is an OSError
            log.warning("lease_left_to_expire", error=type(error).__name__)
