"""The pace of work beside jobs."""

import threading
import time
from typing import Final

REST_FACTOR: Final = 2.0
"""Rest after each piece of work, as a multiple of its duration: Qdrant Edge holds the interpreter lock while it reads a
page, and no job gets on meanwhile. A backup of 100,000 faces beside 20 searches a second on two cores takes 12 s, in
which the median of the searches grows from 34 to 36 ms; with a factor of 1 it takes 7 s, and the median is 43 ms."""


class AbandonedError(Exception):
    """The requester no longer waits, the worker ends, or the request cannot be carried out; the text is the reason."""


class Pace:
    """Rests after pieces of work. ending: set when the worker ends."""

    def __init__(self, ending: threading.Event) -> None:
        self._ending = ending
        self._begun = time.monotonic()

    def begin(self) -> None:
        """Begin a piece of work."""
        self._begun = time.monotonic()

    def rest(self) -> None:
        """Rest for REST_FACTOR times as long as the piece of work took, and begin the next. Raises AbandonedError when
        the worker ends.
        """
        if self._ending.wait(REST_FACTOR * (time.monotonic() - self._begun)):
            raise AbandonedError("the worker was stopped")
        self.begin()
