"""The deadline of a request, which bounds everything that is done for it.

It starts with the request and is paused while the body arrives, which has time limits of its own
(gateway/body/reading.py).
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from gateway.dispatch.jobs import GRACE_S
from shared.errors import Unavailable


class Deadline:
    """The deadline of a block of `within`."""

    def __init__(self, timeout: asyncio.Timeout) -> None:
        self._timeout = timeout

    @property
    def unix_time(self) -> float:
        """Unix time in seconds until which the caller waits; GRACE_S later the block ends."""
        return time.time() + self._left_s() - GRACE_S

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Stop the clock during the block."""
        left_s = self._left_s()
        self._reschedule(None)
        try:
            yield
        finally:
            self._reschedule(asyncio.get_running_loop().time() + left_s)

    def lift(self) -> None:
        """Lift the deadline because the outcome is there: what remains to be done is short and must not lose it."""
        self._reschedule(None)

    def _left_s(self) -> float:
        when = self._timeout.when()
        return 0.0 if when is None else when - asyncio.get_running_loop().time()

    def _reschedule(self, when: float | None) -> None:
        if not self._timeout.expired():
            self._timeout.reschedule(when)


@asynccontextmanager
async def within(seconds: float) -> AsyncIterator[Deadline]:
    """Give the block that time, and GRACE_S for outcomes that were just in time. Raises Unavailable when it takes
    longer, and cancels what it waits for.
    """
    try:
        async with asyncio.timeout(seconds + GRACE_S) as timeout:
            yield Deadline(timeout)
    except TimeoutError:
        if not timeout.expired():
            raise
        raise Unavailable("the deadline is over") from None
