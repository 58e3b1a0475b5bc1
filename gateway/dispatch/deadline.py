"""The one deadline of a request: all that is done for it has this time together, whoever does not answer.

It begins with the request, and stands still while the body comes, which has time limits of its own
(gateway/body/reading.py).
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from gateway.dispatch.jobs import GRACE_S
from shared.errors import Unavailable


class Deadline:
    """Of the block that `within` made it for."""

    def __init__(self, timeout: asyncio.Timeout) -> None:
        self._timeout = timeout

    @property
    def moment(self) -> float:
        """Unix time in seconds after which the caller no longer waits; GRACE_S later the block ends."""
        return time.time() + self._left_s() - GRACE_S

    @contextmanager
    def paused(self) -> Iterator[None]:
        """The time that the block takes does not count."""
        left_s = self._left_s()
        self._end_at(None)
        try:
            yield
        finally:
            self._end_at(asyncio.get_running_loop().time() + left_s)

    def met(self) -> None:
        """The outcome is there. What is still to do must not take it away, and is short by itself."""
        self._end_at(None)

    def _left_s(self) -> float:
        when = self._timeout.when()
        return 0.0 if when is None else when - asyncio.get_running_loop().time()

    def _end_at(self, when: float | None) -> None:
        if not self._timeout.expired():
            self._timeout.reschedule(when)


@asynccontextmanager
async def within(seconds: float) -> AsyncIterator[Deadline]:
    """The block has that time, and GRACE_S for what was done just before. Raises Unavailable when it takes longer: what
    it waits for is given up.
    """
    try:
        async with asyncio.timeout(seconds + GRACE_S) as timeout:
            yield Deadline(timeout)
    except TimeoutError:
        if not timeout.expired():
            raise
        raise Unavailable("the deadline is over") from None
