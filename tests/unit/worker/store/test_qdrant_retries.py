"""Which calls are repeated, and for how long. Only calls and pauses advance the clock."""

import threading

import pytest

from worker.store.base import StoreError, StoreUnavailable
from worker.store.qdrant import retries
from worker.store.qdrant.errors import Busy
from worker.store.qdrant.retries import CHECK_S, LONGEST_PAUSE_S, Retries, operation


class Clock:
    """Both the clock and the event on which pauses wait."""

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


def retries_with(clock: Clock, seconds: float) -> Retries:
    retries = Retries(seconds)
    retries._ended = clock
    return retries


class Server:
    """Raises the given errors, one a call, and then answers. takes: seconds that each call takes."""

    def __init__(self, clock: Clock, errors: list[Exception], takes: float = 0) -> None:
        self.clock, self.errors, self.takes = clock, errors, takes
        self.asked = 0

    def __call__(self) -> str:
        self.asked += 1
        self.clock.now += self.takes
        if self.errors:
            raise self.errors.pop(0)
        return "answer"


def test_the_first_answer_is_returned(clock: Clock) -> None:
    server = Server(clock, [])
    assert retries_with(clock, 3).call(server) == "answer"
    assert (server.asked, clock.pauses) == (1, [])


def test_pauses_grow_up_to_the_longest(clock: Clock) -> None:
    server = Server(clock, [StoreUnavailable("down")] * 8)
    assert retries_with(clock, 60).call(server) == "answer"
    longest = [0.05, 0.1, 0.2, 0.4, *[LONGEST_PAUSE_S] * 4]
    assert all(most / 2 <= pause <= most for pause, most in zip(clock.pauses, longest, strict=True))


def test_retries_end_within_the_time_limit_with_the_last_error(clock: Clock) -> None:
    server = Server(clock, [StoreUnavailable(str(number)) for number in range(1000)])
    begun = clock.now
    with pytest.raises(StoreUnavailable) as error:
        retries_with(clock, 3).call(server)
    assert clock.now - begun <= 3
    assert str(error.value) == str(server.asked - 1)
    assert server.asked > 5


def test_a_refused_call_is_not_repeated(clock: Clock) -> None:
    server = Server(clock, [StoreError("no")])
    with pytest.raises(StoreError):
        retries_with(clock, 3).call(server)
    assert server.asked == 1


def test_a_busy_server_gets_the_pause_that_it_asks_for(clock: Clock) -> None:
    server = Server(clock, [Busy("later", 2)])
    assert retries_with(clock, 3).call(server) == "answer"
    assert clock.pauses == [2]


def test_a_pause_beyond_the_time_limit_is_not_made(clock: Clock) -> None:
    server = Server(clock, [Busy("later", 4)])
    with pytest.raises(Busy):
        retries_with(clock, 3).call(server)
    assert (server.asked, clock.pauses) == (1, [])


def test_an_attempt_gets_half_of_the_remaining_time_or_a_second(clock: Clock) -> None:
    retries = retries_with(clock, 4)
    with retries.operation():
        assert retries.attempt_s() == pytest.approx(2)
        clock.now += 2.5
        assert retries.attempt_s() == pytest.approx(1)
        clock.now += 1
        assert retries.attempt_s() == pytest.approx(0.5)
        clock.now += 1
        assert 0 < retries.attempt_s() < 0.1


def test_attempts_that_time_out_end_within_the_limit(clock: Clock) -> None:
    retries = retries_with(clock, 3)
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
            self._retries = retries_with(clock, 3)

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


def test_operations_in_a_row_and_in_other_threads_each_have_their_own_time(clock: Clock) -> None:
    retries = retries_with(clock, 3)
    retries.call(Server(clock, [], takes=2.9))
    found = []
    with retries.operation():
        clock.now += 2.9
        other = threading.Thread(target=lambda: found.append(retries.attempt_s()))
        other.start()
        other.join()
    assert found == [pytest.approx(1.5)]
    assert retries.attempt_s() == pytest.approx(1.5)


def test_a_check_has_a_shorter_limit(clock: Clock) -> None:
    retries = retries_with(clock, 30)
    begun = clock.now
    with pytest.raises(StoreUnavailable), retries.operation(at_most_s=CHECK_S):
        retries.call(Server(clock, [StoreUnavailable("down")] * 100))
    assert clock.now - begun <= CHECK_S


def test_after_the_end_nothing_is_called() -> None:
    retries = Retries(3)
    retries.end()
    with pytest.raises(StoreUnavailable, match="closed"):
        retries.call(lambda: pytest.fail("called"))


def test_the_end_interrupts_pauses() -> None:
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
