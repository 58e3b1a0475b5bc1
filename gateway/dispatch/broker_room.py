"""Whether the broker has room, which it is asked every second, and what a tenant may have remembered there.

While it is nearly full each tenant keeps a few records of Idempotency-Keys only: who has more loses the oldest with
each new one. So records take no more memory, calls go on, and those who keep few lose none.
"""

import asyncio
from contextlib import suppress
from typing import Final

import structlog
from redis import RedisError
from redis.asyncio import Redis

from shared.broker_memory import broker_memory

log = structlog.stdlib.get_logger(__name__)

ASK_S: Final = 1.0

FEW: Final = 1000
"""Records that a tenant keeps while memory is short: minutes of most callers, who repeat within seconds."""


class Room:
    """records: of one tenant while there is room."""

    def __init__(self, redis: Redis, records: int) -> None:
        self._redis = redis
        self._records = records
        self._is_short = False

    @property
    def records(self) -> int:
        """So many may a tenant have now."""
        return min(self._records, FEW) if self._is_short else self._records

    async def ask(self) -> None:
        """Once. Raises redis.RedisError and OSError; then what was known stays."""
        memory = await broker_memory(self._redis)
        if memory.is_nearly_full and not self._is_short:
            log.warning("broker_nearly_full", used=memory.used, most=memory.most)
        self._is_short = memory.is_nearly_full

    async def watch(self) -> None:
        """Ask until cancelled."""
        while True:
            with suppress(RedisError, OSError):
                await self.ask()
            await asyncio.sleep(ASK_S)
