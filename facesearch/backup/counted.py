"""Persons that are counted as they are read or written."""

from collections.abc import Iterable, Iterator

from shared.progress import Show
from worker.store.base import PAGE, Point


class Counted:
    """Counts the persons that pass through. show: called with `what` they are called, how many there were so far, and
    the total.
    """

    def __init__(self, show: Show, total: int, what: str = "persons") -> None:
        self._show, self._total, self._what = show, total, what
        self.persons = 0

    def through(self, points: Iterable[Point]) -> Iterator[Point]:
        """Yield the points."""
        for point in points:
            yield point
            self.persons += 1
            if self.persons % PAGE == 0:
                self._show(self._what, self.persons, self._total)
        self._show(self._what, self.persons, self._total)
