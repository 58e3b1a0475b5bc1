"""A bound on the memory that the decoded images of a worker's jobs take together.

A job waits while others hold the memory it needs; one alone may take as much as it needs, so no image is too large. The
time spent waiting here does not count against a job's time limit (worker/waits.py).
"""

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from worker.waits import Waits

FREE_BYTES: Final = 8_000_000
"""Reservations below this size never wait: a photo of 12 megapixels, as a search decodes it, takes 5 MB. So
small images do not queue behind large ones, and a thread takes no more than this beside its reservation."""


class MemoryBudget:
    """A budget of `capacity` bytes, granted in order of arrival: smaller images never overtake a large one."""

    def __init__(self, capacity: int, waits: Waits | None = None) -> None:
        """waits: counts how long threads wait here."""
        self._capacity = capacity
        self._taken = 0
        self._changed = threading.Condition()
        self._queue: deque[object] = deque()
        self._waits = waits or Waits()

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

    def _enter(self, share: int) -> None:
        ticket = object()
        with self._changed:
            self._queue.append(ticket)
            try:
                with self._waits.waiting():
                    self._changed.wait_for(lambda: self._queue[0] is ticket and self._taken + share <= self._capacity)
                self._taken += share
            finally:
                self._queue.remove(ticket)
                self._changed.notify_all()
