"""Which calls are repeated, and for how long: by a clock that only the calls and the pauses move."""

import threading

import pytest

from worker.store.base import StoreError, StoreUnavailable
from worker.store.qdrant import retries
from worker.store.qdrant.errors import Busy
from worker.store.qdrant.retries import CHECK_S, LONGEST_PAUSE_S, Retries, operation


class Clock:
    """Both the time and the event that pauses wait for."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.pauses: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds

    def is_set(self) -> bool:
        return False


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(retries, "time", clock)
    return clock


def patient(clock: Clock, seconds: float) -> Retries:
    retries = Retries(seconds)
    retries._ended = clock
    return retries


class Server:
    """Fails with the errors given, one at a call, of which each takes `takes` seconds, and then answers."""

    def __init__(self, clock: Clock, errors: list[Exception], takes: float = 0) -> None:
        self.clock, self.errors, self.takes = clock, errors, takes
        self.asked = 0

    def __call__(self) -> str:
        self.asked += 1
        self.clock.now += self.takes
        if self.errors:
            raise self.errors.pop(0)
        return "answer"


def test_the_first_answer_is_the_answer(clock: Clock) -> None:
    server = Server(clock, [])
    assert patient(clock, 3).call(server) == "answer"
    assert (server.asked, clock.pauses) == (1, [])


def test_pauses_grow_up_to_the_longest(clock: Clock) -> None:
    server = Server(clock, [StoreUnavailable("down")] * 8)
    assert patient(clock, 60).call(server) == "answer"
    longest = [0.05, 0.1, 0.2, 0.4, *[LONGEST_PAUSE_S] * 4]
    assert all(most / 2 <= pause <= most for pause, most in zip(clock.pauses, longest, strict=True))


def test_it_ends_within_the_time_limit_with_the_last_error(clock: Clock) -> None:
    server = Server(clock, [StoreUnavailable(str(number)) for number in range(1000)])
    begun = clock.now
    with pytest.raises(StoreUnavailable) as error:
        patient(clock, 3).call(server)
    assert clock.now - begun <= 3
    assert str(error.value) == str(server.asked - 1)
    assert server.asked > 5


def test_what_is_refused_is_not_asked_again(clock: Clock) -> None:
    server = Server(clock, [StoreError("no")])
    with pytest.raises(StoreError):
        patient(clock, 3).call(server)
    assert server.asked == 1


def test_a_busy_server_is_left_alone_for_as_long_as_it_asks(clock: Clock) -> None:
    server = Server(clock, [Busy("later", 2)])
    assert patient(clock, 3).call(server) == "answer"
    assert clock.pauses == [2]


def test_but_not_beyond_the_time_limit(clock: Clock) -> None:
    server = Server(clock, [Busy("later", 4)])
    with pytest.raises(Busy):
        patient(clock, 3).call(server)
    assert (server.asked, clock.pauses) == (1, [])


def test_an_attempt_gets_half_of_what_is_left_or_a_second(clock: Clock) -> None:
    retries = patient(clock, 4)
    with retries.operation():
        assert retries.attempt_s() == pytest.approx(2)
        clock.now += 2.5
        assert retries.attempt_s() == pytest.approx(1)
        clock.now += 1
        assert retries.attempt_s() == pytest.approx(0.5)
        clock.now += 1
        assert 0 < retries.attempt_s() < 0.1


def test_attempts_that_use_up_their_time_end_within_the_limit(clock: Clock) -> None:
    retries = patient(clock, 3)
    begun = clock.now

    def hang() -> None:
        clock.now += retries.attempt_s()
        raise StoreUnavailable("timed out")

    with pytest.raises(StoreUnavailable):
        retries.call(hang)
    assert clock.now - begun <= 3.1


def test_all_calls_of_an_operation_share_its_time(clock: Clock) -> None:
    class Store:
        def __init__(self) -> None:
            self._retries = patient(clock, 3)

        @operation
        def two_calls(self) -> None:
            self._retries.call(Server(clock, [], takes=2))
            self.one_call()

        @operation
        def one_call(self) -> None:
            self._retries.call(Server(clock, [StoreUnavailable("down")] * 100))

    begun = clock.now
    with pytest.raises(StoreUnavailable):
        Store().two_calls()
    assert clock.now - begun <= 3


def test_operations_in_a_row_and_in_other_threads_have_each_their_own(clock: Clock) -> None:
    retries = patient(clock, 3)
    retries.call(Server(clock, [], takes=2.9))
    found = []
    with retries.operation():
        clock.now += 2.9
        other = threading.Thread(target=lambda: found.append(retries.attempt_s()))
        other.start()
        other.join()
    assert found == [pytest.approx(1.5)]
    assert retries.attempt_s() == pytest.approx(1.5)


def test_a_sign_of_life_takes_less(clock: Clock) -> None:
    retries = patient(clock, 30)
    begun = clock.now
    with pytest.raises(StoreUnavailable), retries.operation(at_most_s=CHECK_S):
        retries.call(Server(clock, [StoreUnavailable("down")] * 100))
    assert clock.now - begun <= CHECK_S


def test_once_ended_nothing_is_called() -> None:
    retries = Retries(3)
    retries.end()
    with pytest.raises(StoreUnavailable, match="closed"):
        retries.call(lambda: pytest.fail("called"))


def test_ending_wakes_those_who_pause() -> None:
    retries = Retries(3600)
    tried = threading.Event()

    def fail() -> None:
        tried.set()
        raise Busy("later", 3000)

    errors: list[StoreError] = []

    def run() -> None:
        try:
            retries.call(fail)
        except StoreUnavailable as error:
            errors.append(error)

    pausing = threading.Thread(target=run)
    pausing.start()
    assert tried.wait(30)
    retries.end()
    pausing.join(30)
    assert [str(error) for error in errors] == ["the store is closed"]
