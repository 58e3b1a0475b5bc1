"""Who is let in: by places, and by what the answers before tell. Counted in memory, nothing asked, nothing leaked."""

import re
from collections import deque
from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import admission as module
from gateway.admission import ALWAYS, PATIENCE, Admission, GatewayFull, Overloaded
from shared.contract import Status


class Clock:
    """time.monotonic of the module under test."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def refused(admission: Admission) -> GatewayFull | Overloaded | None:
    """One request that ends at once: None when it was let in, else why not."""
    try:
        with admission.place():
            return None
    except (GatewayFull, Overloaded) as refusal:
        return refusal


def test_beyond_its_places_a_gateway_refuses_at_once(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    admission = Admission(places=3, deadline_s=10)
    with ExitStack() as held:
        for _ in range(3):
            held.enter_context(admission.place())
        for _ in range(5):
            refusal = refused(admission)
            assert isinstance(refusal, GatewayFull)
            assert refusal.status is Status.FAIL
        clock.now += 1
        assert refused(admission)
    assert re.findall(r"gateway_full +.*refused.*=.*?(\d+)", capsys.readouterr().out) == ["1", "5"]
    with ExitStack() as held:
        for _ in range(3):
            held.enter_context(admission.place())


def test_a_place_is_free_again_after_an_error() -> None:
    admission = Admission(places=3, deadline_s=10)
    for _ in range(10):
        with pytest.raises(ZeroDivisionError), admission.place():
            raise ZeroDivisionError
    assert refused(admission) is None


def learn(admission: Admission, clock: Clock, seconds: float) -> None:
    """Jobs one after the other, of so many seconds each, until the pace is theirs."""
    for _ in range(20 * module.MEMORY):
        with admission.job():
            clock.now += seconds


def let_in(admission: Admission) -> int:
    """How many requests have a place at once before one is refused."""
    with ExitStack() as held:
        for count in range(10_000):
            try:
                held.enter_context(admission.place())
            except (GatewayFull, Overloaded):
                return count
    raise AssertionError("no end")


def test_before_the_first_answer_every_place_may_be_taken() -> None:
    assert let_in(Admission(places=50, deadline_s=0.001)) == 50


@pytest.mark.parametrize(("seconds", "expected"), [(0.01, 700), (0.1, 70), (1.0, 7), (5.0, ALWAYS)])
def test_no_more_are_let_in_than_can_be_answered_in_time(clock: Clock, seconds: float, expected: int) -> None:
    admission = Admission(places=5000, deadline_s=10)
    learn(admission, clock, seconds)
    assert let_in(admission) == pytest.approx(expected, abs=1)


def test_jobs_that_wait_for_each_other_are_not_slow(clock: Clock) -> None:
    """A queue of 100 whose last job took 100 times as long as one alone has the pace of that one."""
    admission = Admission(places=5000, deadline_s=10)
    jobs: deque[ExitStack] = deque()
    for number in range(2000):
        jobs.append(ExitStack())
        jobs[-1].enter_context(admission.job())
        if number >= 100:
            clock.now += 0.02
            jobs.popleft().close()
    assert let_in(admission) == pytest.approx(PATIENCE * 10 / 0.02, rel=0.05)
    for job in jobs:
        job.close()


def test_a_service_that_stood_still_is_tried_again_and_recovers(clock: Clock) -> None:
    admission = Admission(places=5000, deadline_s=10)
    learn(admission, clock, 10.0)
    assert let_in(admission) == ALWAYS
    for _ in range(10 * module.MEMORY):
        with admission.place(), admission.job():
            clock.now += 0.01
    assert let_in(admission) > 500


def test_it_is_told_when_to_come_again(clock: Clock) -> None:
    admission = Admission(places=5000, deadline_s=10)
    learn(admission, clock, 1.0)
    with ExitStack() as held:
        for _ in range(let_in(admission)):
            held.enter_context(admission.place())
        refusal = refused(admission)
    assert isinstance(refusal, Overloaded)
    assert refusal.retry_after_s == 1


@given(seconds=st.lists(st.floats(0, 60), max_size=50), places=st.integers(1, 100))
def test_whatever_was_learned_some_are_let_in_and_never_more_than_places(seconds: list[float], places: int) -> None:
    admission, clock = Admission(places=places, deadline_s=10), Clock()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "time", clock)
        for each in seconds:
            with admission.job():
                clock.now += each
        assert min(places, ALWAYS) <= let_in(admission) <= places
