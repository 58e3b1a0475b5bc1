"""Limits of each key, over all gateways: its rate and its concurrency.

    fs:rate:<key id>      theoretical arrival time of the next request, Unix time in microseconds (GCRA)
    fs:leases:<key id>    sorted set: request in flight -> when its lease ends, Unix time in microseconds

The package `limits` (5.8) has no concurrency limit, needs a second round trip to learn when to retry, and uses the
clock of each gateway. Here one script decides both limits in one round trip, by Redis's clock.
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
"""Seconds' worth of requests that may arrive at once, at least one, after a caller was idle."""

CONCURRENCY_RETRY_S: Final = 1
"""Retry-After for concurrency: it is unknown when one of the caller's requests will end; most do within this."""

RELEASE_S: Final = 0.3
"""Seconds that an answer waits at most for its lease to be released: a thousand times as long as that takes. After that
the answer is sent, and Redis releases the lease when it can."""

_PAID: Final = 0
_TOO_MANY: Final = -1

_TAKE: Final = Script(lua.load(__package__, "limits", PAID=_PAID, TOO_MANY=_TOO_MANY))


class Limits:
    """Admits requests or refuses them at once. Refusals are metered and not logged.

    rate: requests a second of a key without a rate of its own; concurrency: likewise its requests at once. 0: no limit.
    lease_s: seconds for which a request counts as in flight if its gateway died; must exceed the duration of any
    request.
    """

    def __init__(self, redis: SharedConnection, *, rate: float, concurrency: int, lease_s: float) -> None:
        self._redis = redis
        self._rate = rate
        self._concurrency = concurrency
        self._lease_us = round(lease_s * 1e6)

    @asynccontextmanager
    async def hold(self, key: Key) -> AsyncIterator[None]:
        """Count a request against the key's rate, and during the block against its concurrency.

        Raises TooFast or TooManyRequests beyond them, Unavailable when Redis cannot be reached.
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
        """Release a lease, before the answer is sent: a caller that counts its requests is never refused wrongly."""
        try:
            async with asyncio.timeout(RELEASE_S):
                await self._redis.call("ZREM", leases, lease)
        except (RedisError, OSError) as error:  # TimeoutError is an OSError
            log.warning("lease_left_to_expire", error=type(error).__name__)
