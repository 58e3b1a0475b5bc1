"""Pages of persons from an engine that orders points by the time of adding but does not page by it.

Such an engine returns the oldest points from a time on, those of one time in any order, and cuts them off at a limit.
So of the last time in a full answer some may be missing; of the earlier ones none is. It can also return the points of
one time by their ids, from an id on. Together these give every person once.
"""

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from worker.store.base import Person


@dataclass(frozen=True)
class Stored:
    """A person, and the id of its point."""

    point_id: uuid.UUID
    person: Person

    @property
    def time(self) -> int:
        return self.person.added or 0


class Reader(Protocol):
    """Reads the persons of one listing."""

    def of_time(self, time: int, first: uuid.UUID, limit: int) -> Sequence[Stored]:
        """Return the persons that were added at this time, 0 for those without one, by the ids of their points: at most
        limit, from the id `first` on.
        """

    def from_time(self, time: int, limit: int) -> Sequence[Stored]:
        """Return the persons that were added at this time (>= 1) or later, the oldest first: at most limit. A person
        that is being moved inside the engine may be returned twice.
        """


def read_page(reader: Reader, after: tuple[int, uuid.UUID] | None, limit: int) -> list[Person]:
    """Return at most limit persons (>= 1), by time and the ids of their points: those after a time and an id, or the
    first ones.
    """
    found: list[Stored] = []
    time, first = (0, 0) if after is None else (after[0], after[1].int + 1)
    one_time = True  # the persons of `time` are read by id
    while len(found) < limit:
        missing = limit - len(found)
        if one_time:
            if first < 2**128:
                found += reader.of_time(time, uuid.UUID(int=first), missing)
            time, first, one_time = time + 1, 0, False
            continue
        some = reader.from_time(time, missing + 1)
        is_rest = len(some) <= missing
        last = some[-1].time if some else 0
        found += _sorted(stored for stored in some if is_rest or stored.time < last)
        if is_rest:
            break
        time, one_time = last, True
    return [stored.person for stored in found]


def _sorted(some: Iterable[Stored]) -> list[Stored]:
    once = {stored.point_id: stored for stored in some}
    return sorted(once.values(), key=lambda stored: (stored.time, stored.point_id))
