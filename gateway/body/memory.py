"""A bound on the bytes of bodies and images that requests hold in this gateway.

Bytes are counted as they arrive, by the memory that they take, not as a header announces them. The bound of each caller
depends on the free memory: A. K. Choudhury and E. L. Hahne, "Dynamic Queue Length Thresholds for Shared-Memory Packet
Switches", IEEE/ACM Transactions on Networking 6(2), 1998. A caller alone may hold much; a newcomer finds room, however
much the others would like to hold.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import structlog
from aiohttp import web

from gateway.throttled_log import REFUSALS_EVERY_S, ThrottledLog
from shared.control import Key
from shared.errors import Unavailable

log = structlog.stdlib.get_logger(__name__)

TENANT_FACTOR: Final = 2
"""A tenant may hold this many times the free bytes: more than one of its keys may, so that its other keys find room,
and a third of all is left for the other tenants."""


class BodyMemoryFull(Unavailable):
    """The caller's requests hold as much of this gateway's memory as they may now."""

    rejected = "body_memory"


class BodyMemory:
    """The bytes that all requests hold, by tenant and by key. total: the most that they may hold together.

    A key may hold as much as is then still free, and a tenant TENANT_FACTOR times as much. So one key alone may hold
    half of all and one tenant two thirds, whatever the number of its requests; the next one may have half of the rest.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self.held = 0
        self._keys: Counter[str] = Counter()
        self._tenants: Counter[str] = Counter()
        self._refusals = ThrottledLog(log, REFUSALS_EVERY_S, ["refused"])

    @contextmanager
    def request(self, key: Key) -> Iterator["BodyReservation"]:
        """Make a reservation for a request of that key, which is released at the end of the block."""
        reservation = BodyReservation(self, key)
        try:
            yield reservation
        finally:
            reservation.resize(0)

    def change(self, key: Key, by: int) -> None:
        """Add bytes to what the key's requests hold; `by` may be negative. Raises BodyMemoryFull beyond the bounds."""
        free = self.total - self.held - by
        if by > 0 and (self._keys[key.id] + by > free or self._tenants[key.tenant] + by > TENANT_FACTOR * free):
            self._refusals.count("refused")
            self._refusals.warn("body_memory_full", held=self.held, total=self.total)
            raise BodyMemoryFull("the caller's requests hold as much memory as they may")
        self.held += by
        for counter, name in ((self._keys, key.id), (self._tenants, key.tenant)):
            counter[name] += by
            if not counter[name]:
                del counter[name]


class BodyReservation:
    """The bytes that one request holds."""

    def __init__(self, memory: BodyMemory, key: Key) -> None:
        self._memory = memory
        self._key = key
        self._size = 0

    def resize(self, size: int) -> None:
        """Hold that many bytes from now on. Raises BodyMemoryFull when these are more than before and than allowed."""
        self._memory.change(self._key, size - self._size)
        self._size = size


BODY_RESERVATION: Final = web.RequestKey("body_reservation", BodyReservation)
"""The reservation of a request, once its key is known."""
