"""The broker's memory in use. A full broker refuses writes, and every call ends in FAIL."""

from dataclasses import dataclass
from typing import Any, Final

from redis.asyncio import Redis

NEARLY_FULL: Final = 0.9
"""Fraction of memory in use above which the broker counts as nearly full: the rest is for what calls write and remove
again, some kilobytes each, and for the operator's remedies."""

MEMORY: Final = "memory"
"""Name of the part of the service's state that reports whether the broker has memory left."""


@dataclass(frozen=True)
class BrokerMemory:
    """used, limit: in bytes; limit 0: none."""

    used: int
    limit: int

    @property
    def fraction(self) -> float:
        """The fraction of the limit in use, 0 without a limit."""
        return self.used / self.limit if self.limit > 0 else 0.0

    @property
    def is_nearly_full(self) -> bool:
        return self.fraction >= NEARLY_FULL

    def __str__(self) -> str:
        """Return a sentence for operators.

        >>> str(BrokerMemory(9_500_000, 10_000_000))
        "9.5 of the broker's 10 MB are in use; when it is full, every call ends in FAIL"
        """
        used, limit = (f"{number / 1e6:.3g}" for number in (self.used, self.limit))
        return f"{used} of the broker's {limit} MB are in use; when it is full, every call ends in FAIL"


async def broker_memory(redis: Redis) -> BrokerMemory:
    """Return the broker's memory now. Raises redis.RedisError and OSError."""
    info: dict[str, Any] = await redis.info("memory")
    return BrokerMemory(used=info["used_memory"], limit=info.get("maxmemory", 0))
