"""How much of its memory the broker uses. One that is full takes no write, and every call ends in FAIL."""

from dataclasses import dataclass
from typing import Any, Final

from redis.asyncio import Redis

NEARLY_FULL: Final = 0.9
"""Part of its memory in use from which something has to be done: the rest is kept for what calls write and remove
again, some kilobytes each, and for what an operator has to do."""

MEMORY: Final = "memory"
"""The part of a service's state that tells whether the broker has room."""


@dataclass(frozen=True)
class BrokerMemory:
    """Bytes in use, and how many there may be; 0: any."""

    used: int
    most: int

    @property
    def is_nearly_full(self) -> bool:
        return self.most > 0 and self.used >= NEARLY_FULL * self.most

    def __str__(self) -> str:
        """For people.

        >>> str(BrokerMemory(9_500_000, 10_000_000))
        "9.5 of the broker's 10 MB are in use; when it is full, every call ends in FAIL"
        """
        used, most = (f"{number / 1e6:.3g}" for number in (self.used, self.most))
        return f"{used} of the broker's {most} MB are in use; when it is full, every call ends in FAIL"


async def broker_memory(redis: Redis) -> BrokerMemory:
    """As it is now. Raises redis.RedisError and OSError."""
    said: dict[str, Any] = await redis.info("memory")
    return BrokerMemory(used=said["used_memory"], most=said.get("maxmemory", 0))
