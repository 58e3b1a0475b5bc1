"""The number of photos at once follows what the service bears."""

import heapq
from dataclasses import dataclass
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facesearch.bulk.window import FEW, GROWS_BELOW, LEAST_ROUND, MEASURED_EVERY, SHRINKS_ABOVE, Window


@dataclass
class Seen:
    """What a simulated import did. rate: photos a second. most: the largest window."""

    rate: float
    most: int


def simulated(window: Window, cores: int, photos: int, others: int = 0) -> Seen:
    """Send photos to a service with a queue that needs a second of a core for each: as many at once as the window
    allows, beside other callers that always have some under way.
    """
    now, most, left, ours, order = 0.0, 0, photos, 0, count()
    free = [0.0] * cores
    under_way: list[tuple[float, int, float | None]] = []

    def send(sent: float | None) -> None:
        ends = max(now, heapq.heappop(free)) + 1.0
        heapq.heappush(free, ends)
        heapq.heappush(under_way, (ends, next(order), sent))

    for _ in range(others):
        send(None)
    while left > 0:
        while ours < window.size:
            send(now)
            ours += 1
        most = max(most, window.size)
        now, _, sent = heapq.heappop(under_way)
        if sent is None:
            send(None)
            continue
        window.answered(now - sent)
        ours -= 1
        left -= 1
    return Seen(photos / now, most)


@pytest.mark.parametrize("cores", [1, 2, 4, 16, 48])
def test_it_keeps_every_core_busy_and_the_queue_short(cores: int) -> None:
    window = Window(128)
    simulated(window, cores, 10 * LEAST_ROUND * cores)
    for _ in range(5):
        seen = simulated(window, cores, MEASURED_EVERY * 5 * cores)
        assert seen.most <= max(4, (SHRINKS_ABOVE + 1) * cores)
        assert seen.rate >= 0.9 * cores


def test_beside_other_callers_it_stays_in_proportion_to_them() -> None:
    window = Window(128)
    for _ in range(5):
        simulated(window, 4, 2000, others=12)
        assert window.size <= (SHRINKS_ABOVE + 1) * (12 + FEW)
    simulated(window, 4, 5000)
    assert window.size <= (SHRINKS_ABOVE + 1) * 4


@given(st.integers(1, 128), st.lists(st.one_of(st.none(), st.floats(0, 1e6)), max_size=500))
def test_it_stays_within_its_bounds(largest: int, events: list[float | None]) -> None:
    window = Window(largest)
    for took in events:
        window.refused() if took is None else window.answered(took)
        assert 1 <= window.size <= largest


def test_a_refusal_halves_it_and_those_of_photos_sent_together_count_once() -> None:
    window = Window(64)
    while window.size < 64:
        window.answered(1.0)
    for _ in range(64):
        window.answered(1.0)
    for size in (64, 32, 16, 8, 4, 2):
        window.refused()
        assert window.size == size // 2
        for _ in range(size):
            window.refused()
            assert window.size == size // 2


def test_answers_to_what_was_sent_before_a_change_do_not_count() -> None:
    window = Window(64)
    for _ in range(2 * LEAST_ROUND):
        window.answered(1.0)
    assert window.size == 2 * FEW
    for took in [*[1000.0] * FEW, *[1.0] * LEAST_ROUND]:
        window.answered(took)
    assert window.size == 4 * FEW


def test_it_has_a_range_in_which_it_rests() -> None:
    assert 1 < GROWS_BELOW < SHRINKS_ABOVE
