"""A bound on the memory that the decoded images of a worker's jobs take together.

A job waits while others hold the memory it needs; one alone may take as much as it needs, so no image is too large. The
time spent waiting here does not count against a job's time limit (worker/delivery/time_limit.py).
"""

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

FREE_BYTES: Final = 8_000_000
"""Reservations below this size never wait: a photo of 12 megapixels, as a search decodes it, takes 5 MB. So
small images do not queue behind large ones, and a thread takes no more than this beside its reservation."""


class MemoryBudget:
    """A budget of `capacity` bytes, granted in order of arrival: smaller images never overtake a large one."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._taken = 0
        self._changed = threading.Condition()
        self._queue: deque[object] = deque()
        self._since: dict[int, float] = {}
        self._waited: dict[int, float] = {}

    @contextmanager
    def reserve(self, size: int) -> Iterator[None]:
        """Reserve that many bytes for the block; waits until they are free. A thread must not nest reservations: it
        would wait for itself.
        """
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
        """Return the seconds a thread, by its native id, has waited here so far, in total."""
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
