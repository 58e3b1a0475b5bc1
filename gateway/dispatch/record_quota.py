"""The maximum number of idempotency records of a tenant, by the free memory of the broker.

While the broker is nearly full, a tenant with more than a few records loses its oldest with each new one. Records then
take no more memory, calls go on, and tenants with few records lose none.
"""

import asyncio
from contextlib import suppress
from typing import Final

import structlog
from redis import RedisError
from redis.asyncio import Redis

from shared.broker_memory import broker_memory

log = structlog.stdlib.get_logger(__name__)

REFRESH_S: Final = 1.0

RECORDS_WHEN_SHORT: Final = 1000
"""Records of a tenant while memory is short: minutes of most callers, who repeat within seconds."""


class RecordQuota:
    """records: the limit of one tenant while the broker has memory left."""

    def __init__(self, redis: Redis, records: int) -> None:
        self._redis = redis
        self._records = records
        self._is_short = False

    @property
    def records(self) -> int:
        """The present limit of each tenant."""
        return min(self._records, RECORDS_WHEN_SHORT) if self._is_short else self._records

    async def refresh(self) -> None:
        """Read the broker's memory. Raises redis.RedisError and OSError, and then keeps the previous limit."""
        memory = await broker_memory(self._redis)
        if memory.is_nearly_full and not self._is_short:
            log.warning("broker_nearly_full", used=memory.used, most=memory.limit)
        self._is_short = memory.is_nearly_full

    async def run(self) -> None:
        """Refresh every REFRESH_S seconds until cancelled."""
        while True:
            with suppress(RedisError, OSError):
                await self.refresh()
            await asyncio.sleep(REFRESH_S)
