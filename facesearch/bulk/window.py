"""How many photos are sent at once: as many as keep the service busy, and few more.

The time from a photo to its answer stays the same as long as photos find a free core, and grows with each one that has
to wait. So the window grows while answers take little longer than with a few photos at once, and shrinks when they take
much longer, as in TCP Vegas (Brakmo and Peterson, 1995). What they take with a few at once is measured again from time
to time, as in BBR (Cardwell and others, 2016): other callers come and go, and photos differ. When the service refuses,
the window is halved.
"""

from statistics import median
from typing import Final

FEW: Final = 2
"""Photos at once while the time of an answer without waiting is measured."""

LEAST_ROUND: Final = 8
"""Answers, at least, after which the window may change: photos differ in what they cost."""

MEASURED_EVERY: Final = 50
"""Rounds after which the time without waiting is measured again. A round at full size lasts four times as long as a
photo, and a measurement eight times at worst: it costs at most 4% of the rate.
"""

GROWS_BELOW: Final = 2.0
SHRINKS_ABOVE: Final = 3.0
"""The window grows while answers take less than GROWS_BELOW times the time without waiting, and shrinks when they take
more than SHRINKS_ABOVE times that. At twice the time, as many photos wait for a core as are on one.
"""


class Window:
    """The number of photos that may be sent at once. largest: its bound, >= 1."""

    def __init__(self, largest: int) -> None:
        self._largest = largest
        self._few = min(FEW, largest)
        self._size = self._few
        self._doubles = True
        self._unhurried: float | None = None
        self._returns_to = self._few
        self._rounds = 0
        self._stale = 0
        self._times: list[float] = []

    @property
    def size(self) -> int:
        """Photos at once, 1 to largest."""
        return self._size

    def answered(self, took_s: float) -> None:
        """Take into account an answer that needed work. took_s: seconds from sending to the answer."""
        if self._stale:
            self._stale -= 1
            return
        self._times.append(took_s)
        if len(self._times) < max(LEAST_ROUND, 2 * self._size):
            return
        typical = median(self._times)
        self._times.clear()
        if self._unhurried is None:
            self._unhurried = typical
            self._rounds = 0
            self._resize(self._returns_to)
            return
        self._rounds += 1
        slower = typical / max(self._unhurried, 1e-9)
        if slower < GROWS_BELOW:
            self._resize(2 * self._size if self._doubles else self._size + 1)
        else:
            self._doubles = False
            if slower > SHRINKS_ABOVE:
                self._resize(int(self._size * SHRINKS_ABOVE / slower))
        if self._rounds >= MEASURED_EVERY:
            self._unhurried = None
            self._returns_to = self._size
            self._resize(min(self._few, self._size))

    def refused(self) -> None:
        """Take into account that the service refused a photo for now, or did not answer. What was sent together and is
        refused together counts once.
        """
        if self._stale:
            self._stale -= 1
            return
        self._doubles = False
        self._returns_to = max(1, self._returns_to // 2)
        self._resize(self._size // 2)

    def _resize(self, size: int) -> None:
        size = min(max(size, 1), self._largest)
        if size != self._size:
            # What is on its way was sent at the former size.
            self._stale = self._size
            self._times.clear()
        self._size = size
