"""Pages of persons over an engine that orders persons by time, those of one time in any order, and cuts them off."""

import random
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from worker.store.base import Person
from worker.store.paging import Stored, read_page

LAST_ID = 2**128 - 1
TIMES = st.none() | st.integers(1, 4)
IDS = st.integers(0, 40) | st.just(LAST_ID)
PERSONS = st.dictionaries(IDS, TIMES, max_size=40)


@dataclass
class Engine:
    """persons: the time of each, by the id of its point. moving: of this many, one is being moved. calls: how many were
    made.
    """

    persons: dict[int, int | None]
    order: random.Random = field(default_factory=random.Random)
    moving: int = 3
    calls: int = 0

    def of_time(self, time: int, first: uuid.UUID, limit: int) -> Sequence[Stored]:
        self.calls += 1
        found = [stored(number, at) for number, at in self.persons.items() if (at or 0) == time and number >= first.int]
        return sorted(found, key=lambda each: each.point_id)[:limit]

    def from_time(self, time: int, limit: int) -> Sequence[Stored]:
        self.calls += 1
        assert time >= 1
        found = [stored(number, at) for number, at in self.persons.items() if at is not None and at >= time]
        found += self.order.sample(found, len(found) // self.moving)  # in two segments of the engine
        self.order.shuffle(found)
        return sorted(found, key=lambda each: each.time)[:limit]


def stored(number: int, added: int | None) -> Stored:
    return Stored(uuid.UUID(int=number), Person(uuid.UUID(int=number), "", added))


def place(number: int, added: int | None) -> tuple[int, int]:
    return added or 0, number


def numbers(page: list[Person]) -> list[tuple[int, int]]:
    return [place(person.person_id.int, person.added) for person in page]


@given(
    persons=PERSONS, after=st.none() | st.tuples(st.integers(0, 5), IDS), limit=st.integers(1, 45), order=st.randoms()
)
def test_a_page_has_those_after_a_place_in_order(
    persons: dict[int, int | None], after: tuple[int, int] | None, limit: int, order: random.Random
) -> None:
    begin = None if after is None else (after[0], uuid.UUID(int=after[1]))
    page = read_page(Engine(persons, order), begin, limit)
    everybody = sorted(place(number, added) for number, added in persons.items())
    assert numbers(page) == [each for each in everybody if after is None or each > after][:limit]


@given(persons=PERSONS, others=PERSONS, limit=st.integers(1, 5), order=st.randoms())
def test_nobody_is_missed_or_listed_twice_while_others_come_and_go(
    persons: dict[int, int | None], others: dict[int, int | None], limit: int, order: random.Random
) -> None:
    class Changing(Engine):
        """Others are there at one call and not at the next."""

        def of_time(self, time: int, first: uuid.UUID, limit: int) -> Sequence[Stored]:
            self._change()
            return super().of_time(time, first, limit)

        def from_time(self, time: int, limit: int) -> Sequence[Stored]:
            self._change()
            return super().from_time(time, limit)

        def _change(self) -> None:
            self.persons = {n: at for n, at in others.items() if self.order.random() < 0.5} | persons

    engine, listed, after = Changing(persons, order), [], None
    while page := read_page(engine, after, limit):
        listed += numbers(page)
        after = page[-1].position
    assert listed == sorted(set(listed))
    assert {place(number, added) for number, added in persons.items()} <= set(listed)


def test_a_page_takes_two_calls_unless_many_have_one_time() -> None:
    engine = Engine({number: number for number in range(1, 301)}, moving=1000)
    page = read_page(engine, (100, uuid.UUID(int=100)), 100)
    assert numbers(page) == [(number, number) for number in range(101, 201)]
    assert engine.calls == 2
