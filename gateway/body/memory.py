"""How many bytes of bodies and images requests hold in this gateway, so that no number of them takes all its memory.

Bytes are counted as they arrive, by what is really held, and not by what a header announces. The bound of each caller
moves with what is free: A. K. Choudhury and E. L. Hahne, "Dynamic Queue Length Thresholds for Shared-Memory Packet
Switches", IEEE/ACM Transactions on Networking 6(2), 1998. Alone, a caller may hold much; whoever comes next finds room,
however much the others would like to hold.
"""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import structlog
from aiohttp import web

from shared.control import Key
from shared.errors import Unavailable

log = structlog.stdlib.get_logger(__name__)

TENANT: Final = 2
"""How many times as much as is free a tenant may hold. 2: more than one of its keys may, so that its other keys find
room, and a third of all is left for the other tenants."""

LOG_EVERY_S: Final = 1.0
"""How often a gateway that refuses says so: a flood of requests is no flood of lines."""


class BodyMemoryFull(Unavailable):
    """The caller's requests hold as much of this gateway's memory as they may now."""

    rejected = "body_memory"


class Holding:
    """What all requests hold, by tenant and by key. total: bytes, the most that they may hold together.

    A key may hold as much as is then still free, and a tenant TENANT times as much. So one key alone may hold half of
    all and one tenant two thirds, however many its requests; and of what they leave free the next one may have half.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self.held = 0
        self._keys: Counter[str] = Counter()
        self._tenants: Counter[str] = Counter()
        self._refused = 0
        self._quiet_until = 0.0

    @contextmanager
    def request(self, key: Key) -> Iterator["Held"]:
        """One request of that key; what it holds at the end of the block it holds no more."""
        held = Held(self, key)
        try:
            yield held
        finally:
            held.now(0)

    def change(self, key: Key, by: int) -> None:
        """Count so many bytes more, or fewer. Raises BodyMemoryFull when it may not hold them."""
        free = self.total - self.held - by
        if by > 0 and (self._keys[key.id] + by > free or self._tenants[key.tenant] + by > TENANT * free):
            raise self._refusal()
        self.held += by
        for counter, name in ((self._keys, key.id), (self._tenants, key.tenant)):
            counter[name] += by
            if not counter[name]:
                del counter[name]

    def _refusal(self) -> BodyMemoryFull:
        self._refused += 1
        if time.monotonic() >= self._quiet_until:
            log.warning("body_memory_full", refused=self._refused, held=self.held, total=self.total)
            self._refused = 0
            self._quiet_until = time.monotonic() + LOG_EVERY_S
        return BodyMemoryFull("the caller's requests hold as much memory as they may")


class Held:
    """What one request holds."""

    def __init__(self, holding: Holding, key: Key) -> None:
        self._holding = holding
        self._key = key
        self._size = 0

    def now(self, size: int) -> None:
        """It holds so many bytes from here on. Raises BodyMemoryFull when that is more than before and than it may."""
        self._holding.change(self._key, size - self._size)
        self._size = size


HELD: Final = web.RequestKey("held", Held)
"""What the request holds, once its key is known."""
