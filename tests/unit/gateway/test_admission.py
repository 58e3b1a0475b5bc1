"""Admission: by the places of a gateway, a tenant's share of them, and the pace of earlier answers. No network, and no
place is lost.
"""

import math
import re
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import throttled_log
from gateway.access import admission as module
from gateway.access.admission import ALWAYS_ADMITTED, DEADLINE_FRACTION, SHARE, Admission, GatewayFull, Overloaded
from shared.contract import Status


class Clock:
    """Replaces time.monotonic in the modules under test."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module_with_clock in (module, throttled_log):
        monkeypatch.setattr(module_with_clock, "time", clock)
    return clock


@contextmanager
def request(admission: Admission, tenant: str = "a") -> Iterator[None]:
    with admission.place(), admission.share(tenant):
        yield


def refused(admission: Admission, tenant: str = "a") -> GatewayFull | Overloaded | None:
    """Make one request that ends at once. Returns the refusal, None if it was admitted."""
    try:
        with request(admission, tenant):
            return None
    except (GatewayFull, Overloaded) as refusal:
        return refusal


def test_a_gateway_without_free_places_refuses_at_once_and_logs_it_once_a_second(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    admission = Admission(places=3, deadline_s=10)
    with ExitStack() as held:
        for _ in range(3):
            held.enter_context(request(admission))
        for _ in range(5):
            refusal = refused(admission)
            assert isinstance(refusal, GatewayFull)
            assert refusal.status is Status.FAIL
        clock.now += 1
        assert refused(admission)
    assert re.findall(r"gateway_full +.*refused.*=.*?(\d+)", capsys.readouterr().out) == ["1", "5"]
    with ExitStack() as held:
        for _ in range(3):
            held.enter_context(request(admission))


def test_a_place_is_free_again_after_an_error() -> None:
    admission = Admission(places=3, deadline_s=10)
    for _ in range(10):
        with pytest.raises(ZeroDivisionError), request(admission):
            raise ZeroDivisionError
    assert refused(admission) is None


def learn(admission: Admission, clock: Clock, seconds: float, tenant: str = "a") -> None:
    """Finish jobs one after the other, each of that many seconds, until they alone determine the pace."""
    for _ in range(20 * module.PACE_SAMPLES):
        with admission.job(tenant):
            clock.now += seconds


def admitted(admission: Admission, tenant: str = "a") -> int:
    """Return how many requests of a tenant have a place at once before one is refused."""
    with ExitStack() as held:
        for count in range(10_000):
            try:
                held.enter_context(request(admission, tenant))
            except (GatewayFull, Overloaded):
                return count
    raise AssertionError("no end")


def test_before_the_first_answer_every_place_of_a_share_may_be_taken() -> None:
    assert admitted(Admission(places=52, deadline_s=0.001)) == 52 * SHARE / (SHARE + 1)


def test_a_new_tenant_finds_a_place_while_others_take_every_place_they_can_get() -> None:
    """Ten tenants request without pause; when one is refused, the oldest request ends."""
    admission, busy = Admission(places=256, deadline_s=10), [f"busy {number}" for number in range(10)]
    with ExitStack() as rest:
        held: deque[ExitStack] = deque()
        for round_ in range(2000):
            one = rest.enter_context(ExitStack())
            try:
                one.enter_context(request(admission, busy[round_ % 10]))
                held.append(one)
            except GatewayFull:
                held.popleft().close()
            if round_ >= 1000:
                assert not refused(admission, f"new {round_}")


def test_tenants_that_take_all_they_can_get_have_equally_many_places() -> None:
    admission = Admission(places=256, deadline_s=10)
    places = {"a": 0, "b": 0}
    with ExitStack() as held:
        for _ in range(256):
            for tenant in places:
                try:
                    held.enter_context(request(admission, tenant))
                    places[tenant] += 1
                except GatewayFull:
                    pass
    assert places["a"] == pytest.approx(256 * SHARE / (2 * SHARE + 1), abs=2)
    assert places["b"] == pytest.approx(places["a"], abs=2)


def test_a_slow_tenant_is_refused_and_a_fast_one_is_not(clock: Clock) -> None:
    admission = Admission(places=5000, deadline_s=10)
    learn(admission, clock, 5.0, "slow")
    learn(admission, clock, 0.01, "fast")
    with ExitStack() as held:
        for _ in range(admitted(admission, "slow")):
            held.enter_context(request(admission, "slow"))
        assert isinstance(refused(admission, "slow"), Overloaded)
        assert admitted(admission, "fast") == pytest.approx(700, abs=1)


@pytest.mark.parametrize(("seconds", "expected"), [(0.01, 700), (0.1, 70), (1.0, 7), (5.0, ALWAYS_ADMITTED)])
def test_no_more_requests_are_admitted_than_can_be_answered_in_time(
    clock: Clock, seconds: float, expected: int
) -> None:
    admission = Admission(places=5000, deadline_s=10)
    learn(admission, clock, seconds)
    assert admitted(admission) == pytest.approx(expected, abs=1)


def test_jobs_that_wait_for_each_other_do_not_count_as_slow(clock: Clock) -> None:
    """A job that waits behind 100 others takes 100 times as long, and does not change the pace."""
    admission = Admission(places=5000, deadline_s=10)
    jobs: deque[ExitStack] = deque()
    for number in range(2000):
        jobs.append(ExitStack())
        jobs[-1].enter_context(admission.job("a"))
        if number >= 100:
            clock.now += 0.02
            jobs.popleft().close()
    assert admitted(admission) == pytest.approx(DEADLINE_FRACTION * 10 / 0.02, rel=0.05)
    for job in jobs:
        job.close()


def test_after_a_standstill_some_requests_are_admitted_and_the_pace_recovers(clock: Clock) -> None:
    admission = Admission(places=5000, deadline_s=10)
    learn(admission, clock, 10.0)
    assert admitted(admission) == ALWAYS_ADMITTED
    for _ in range(10 * module.PACE_SAMPLES):
        with request(admission), admission.job("a"):
            clock.now += 0.01
    assert admitted(admission) > 500


def test_a_refusal_has_the_time_to_retry_after(clock: Clock) -> None:
    admission = Admission(places=5000, deadline_s=10)
    learn(admission, clock, 1.0)
    with ExitStack() as held:
        for _ in range(admitted(admission)):
            held.enter_context(request(admission))
        refusal = refused(admission)
    assert isinstance(refusal, Overloaded)
    assert refusal.retry_after_s == 1


@given(seconds=st.lists(st.floats(0, 60), max_size=50), places=st.integers(1, 100))
def test_whatever_the_pace_some_requests_are_admitted_and_never_more_than_places(
    seconds: list[float], places: int
) -> None:
    admission, clock = Admission(places=places, deadline_s=10), Clock()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "time", clock)
        for each in seconds:
            with admission.job("a"):
                clock.now += each
        share = math.ceil(places * SHARE / (SHARE + 1))
        assert min(share, ALWAYS_ADMITTED) <= admitted(admission) <= places
