"""How much the decoded images of a worker's jobs may take at once. A job waits while others have it; one alone may take
as much as it needs, so that no image is too large to be looked at.

What a job waits here is nobody's work: worker/delivery/time_limit.py does not count it.
"""

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

FREE_BYTES: Final = 8_000_000
"""Bytes below which nobody waits: a photo of 12 megapixels as it is searched for takes 5. So the many small images do
not queue up behind few large ones, and a thread takes no more than that beside what has been given to it."""


class MemoryBudget:
    """capacity: bytes. Who came first is let in first: a large image is not overtaken for ever by smaller ones."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._taken = 0
        self._changed = threading.Condition()
        self._queue: deque[object] = deque()
        self._since: dict[int, float] = {}
        self._waited: dict[int, float] = {}

    @contextmanager
    def reserve(self, size: int) -> Iterator[None]:
        """The block may take so many bytes. In it a thread must not ask for more: it would wait for itself."""
        if size < FREE_BYTES:
            yield
            return
        share = min(size, self._capacity)
        self._enter(share)
        try:
            yield
        finally:
            with self._changed:
                self._taken -= share
                self._changed.notify_all()

    def waited_s(self, thread: int) -> float:
        """Seconds for which a thread, by the system's number, has waited here, in all and until now."""
        with self._changed:
            since = self._since.get(thread)
            waited = self._waited.get(thread, 0.0)
            return waited if since is None else waited + time.monotonic() - since

    def _enter(self, share: int) -> None:
        ticket, thread = object(), threading.get_native_id()
        with self._changed:
            self._queue.append(ticket)
            self._since[thread] = time.monotonic()
            try:
                self._changed.wait_for(lambda: self._queue[0] is ticket and self._taken + share <= self._capacity)
                self._taken += share
            finally:
                self._queue.remove(ticket)
                self._waited[thread] = self.waited_s(thread)
                del self._since[thread]
                self._changed.notify_all()
