"""Which items share a call, which go next, and what an error does to the others."""

import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import Unavailable
from worker.vision.batching import Batcher

LONG_S = 3600
"""Longer than the time limit of a test: a batch that waits this long fails it."""


class Model:
    """Answers an item x with (x, "answer"), records its batches, and can be made busy."""

    def __init__(self, poison=()):
        self.batches = []
        self.threads = []
        self.poison = set(poison)
        self.entered, self.may_go = threading.Event(), threading.Event()
        self.may_go.set()
        self._one = threading.Lock()

    def __call__(self, items):
        assert self._one.acquire(blocking=False), "two calls at the same time"
        try:
            self.batches.append(list(items))
            self.threads.append(threading.get_ident())
            self.entered.set()
            self.may_go.wait()
            if poisoned := self.poison.intersection(items):
                raise ArithmeticError(f"poisoned by {sorted(poisoned)}")
            return [(item, "answer") for item in items]
        finally:
            self._one.release()


@pytest.fixture
def pool():
    with ThreadPoolExecutor(64) as pool:
        yield pool


@contextmanager
def busy(model, batcher, pool):
    """Within this context the model works on an item of its own, "first"."""
    model.may_go.clear()
    model.entered.clear()
    first = pool.submit(batcher.do, "first", key="first")
    model.entered.wait()
    try:
        yield
    finally:
        model.may_go.set()
        assert first.result() == ("first", "answer")


def enqueue(batcher, pool, item, *more):
    """Put an item in the queue. Returns the future of its answer."""
    before = queue_length(batcher)
    answer = pool.submit(batcher.do, item, *more)
    wait_until(batcher, lambda: queue_length(batcher) == before + 1)
    return answer


def queue_length(batcher):
    return sum(len(queue) for queue in batcher._queues.values())


def wait_until(batcher, condition):
    with batcher._changed:
        assert batcher._changed.wait_for(condition, LONG_S)


def announce(batcher):
    """Announce another caller. Returns an executor of its thread."""
    there = ThreadPoolExecutor(1)
    there.submit(batcher.announce).result()
    return there


# When a batch starts


def test_a_single_caller_calls_the_model_itself_at_once():
    model = Model()
    assert Batcher(model, 8, LONG_S).do("a") == ("a", "answer")
    assert model.threads == [threading.get_ident()]


def test_items_that_arrive_while_the_model_is_busy_share_a_call_in_order_of_arrival(pool):
    model = Model()
    batcher = Batcher(model, 8, LONG_S)
    with busy(model, batcher, pool):
        answers = [enqueue(batcher, pool, number) for number in range(5)]
    assert [answer.result() for answer in answers] == [(number, "answer") for number in range(5)]
    assert model.batches == [["first"], [0, 1, 2, 3, 4]]


def test_a_batch_waits_for_an_announced_caller(pool):
    model = Model()
    batcher = Batcher(model, 8, LONG_S)
    with announce(batcher) as other:
        answer = enqueue(batcher, pool, "a")
        assert model.batches == []
        assert other.submit(batcher.do, "b").result() == ("b", "answer")
    assert answer.result() == ("a", "answer")
    assert model.batches == [["a", "b"]]


def test_a_batch_waits_for_all_announced_callers(pool):
    model = Model()
    batcher = Batcher(model, 8, LONG_S)
    with announce(batcher) as second, announce(batcher) as third:
        answers = [enqueue(batcher, pool, "a"), enqueue(batcher, second, "b")]
        assert model.batches == []
        assert third.submit(batcher.do, "c").result() == ("c", "answer")
    assert [answer.result() for answer in answers] == [("a", "answer"), ("b", "answer")]
    assert model.batches == [["a", "b", "c"]]


def test_a_batch_starts_when_the_announced_caller_withdraws(pool):
    model = Model()
    batcher = Batcher(model, 8, LONG_S)
    with announce(batcher) as other:
        answer = enqueue(batcher, pool, "a")
        assert model.batches == []
        other.submit(batcher.withdraw).result()
        assert answer.result() == ("a", "answer")


def test_a_full_batch_starts_at_once(pool):
    model = Model()
    batcher = Batcher(model, 3, LONG_S)
    with announce(batcher):
        answers = [enqueue(batcher, pool, "a"), pool.submit(batcher.do, "b", None, 2)]
        assert [answer.result() for answer in answers] == [("a", "answer"), ("b", "answer")]
    assert model.batches == [["a", "b"]]


def test_a_full_batch_does_not_wait_for_a_waiting_batch_of_another_key(pool):
    model = Model()
    batcher = Batcher(model, 2, LONG_S)
    with announce(batcher) as other:
        held = enqueue(batcher, pool, "a", "A")
        assert pool.submit(batcher.do, "b", "B", 2).result() == ("b", "answer")
        assert not held.done()
        other.submit(batcher.withdraw).result()
        assert held.result() == ("a", "answer")
    assert model.batches == [["b"], ["a"]]


@pytest.mark.parametrize("wait_s", [0, 0.001])
def test_a_batch_waits_no_longer_than_the_setting(wait_s):
    batcher = Batcher(Model(), 8, wait_s)
    with announce(batcher):
        assert batcher.do("a") == ("a", "answer")


def test_an_announcement_ends_with_its_first_call():
    batcher = Batcher(Model(), 8, LONG_S)
    batcher.announce()
    for item in "ab":
        assert batcher.do(item) == (item, "answer")


def test_the_caller_that_has_waited_longest_makes_the_call_for_its_batch(pool):
    model = Model()
    batcher = Batcher(model, 2, LONG_S)

    def caller(item):
        batcher.do(item)
        return threading.get_ident()

    with busy(model, batcher, pool):
        callers = []
        for number in range(4):
            callers.append(pool.submit(caller, number))
            wait_until(batcher, lambda number=number: queue_length(batcher) == number + 1)
    threads = [caller.result() for caller in callers]
    assert model.threads[1:] == [threads[0], threads[2]]


# Which items share a batch


def test_a_rare_key_waits_only_for_earlier_items(pool):
    model = Model()
    batcher = Batcher(model, 2, LONG_S)
    stop = threading.Event()

    def flood():
        while not stop.is_set():
            batcher.do("common", "common")

    with busy(model, batcher, pool):
        before = queue_length(batcher)
        floods = []
        for number in range(4):
            floods.append(pool.submit(flood))
            wait_until(batcher, lambda number=number: queue_length(batcher) == before + number + 1)
        rare = enqueue(batcher, pool, "rare", "rare")
        floods += [pool.submit(flood) for _ in range(4)]
    assert rare.result() == ("rare", "answer")
    stop.set()
    for running in floods:
        running.result()
    assert model.batches[:4] == [["first"], ["common", "common"], ["common", "common"], ["rare"]]


def expected_batches(items, size):
    """Return the batches of a queue of (key, weight) by a plain algorithm, as numbers of items."""
    left = deque(enumerate(items))
    batches = []
    while left:
        number, (key, weight) = left.popleft()
        batch, passed, room, full = [number], [], size - weight, False
        for other, (its_key, its_weight) in left:
            fits = its_key == key and its_weight <= room and not full
            if fits:
                batch.append(other)
                room -= its_weight
            else:
                full |= its_key == key
                passed.append((other, (its_key, its_weight)))
        batches.append(batch)
        left = deque(passed)
    return batches


@given(
    items=st.lists(st.tuples(st.sampled_from("ABC"), st.integers(1, 6)), max_size=12),
    size=st.integers(1, 8),
)
def test_batches_are_oldest_first_of_one_key_and_within_the_size(items, size):
    model = Model()
    batcher = Batcher(model, size, LONG_S)
    with ThreadPoolExecutor(len(items) + 1) as pool:
        with busy(model, batcher, pool):
            answers = [enqueue(batcher, pool, number, *item) for number, item in enumerate(items)]
        assert [answer.result() for answer in answers] == [(number, "answer") for number in range(len(items))]
    assert model.batches[1:] == expected_batches(items, size)
    for batch in model.batches[1:]:
        assert len({items[number][0] for number in batch}) == 1
        assert len(batch) == 1 or sum(items[number][1] for number in batch) <= size


def test_every_caller_gets_its_own_answer(pool):
    """Callers in rounds, most of them announced, with three keys and several weights; some items are poisoned."""
    callers, rounds, every = 10, 100, 29
    model = Model(poison=range(0, callers * rounds, every))
    batcher = Batcher(model, 12, LONG_S)
    barrier = threading.Barrier(callers)

    def caller(number):
        rng = np.random.default_rng(number)
        for item in range(number, callers * rounds, callers):
            barrier.wait()  # all have their answers: no batch waits for a caller that is here
            if rng.random() < 0.8:
                batcher.announce()
            barrier.wait()
            key, weight = rng.choice(list("ABC")), int(rng.integers(1, 6))
            if item % every:
                assert batcher.do(item, key, weight) == (item, "answer")
            else:
                with pytest.raises(ArithmeticError, match=rf"poisoned by \[{item}\]"):
                    batcher.do(item, key, weight)

    for done in [pool.submit(caller, number) for number in range(callers)]:
        done.result()
    assert max(len(batch) for batch in model.batches) > 2
    assert queue_length(batcher) == 0


# Errors


@given(poisoned=st.lists(st.booleans(), min_size=1, max_size=16))
def test_only_poisoned_items_fail(poisoned):
    bad = [number for number, is_bad in enumerate(poisoned) if is_bad]
    model = Model(bad)
    batcher = Batcher(model, len(poisoned), LONG_S)
    with ThreadPoolExecutor(len(poisoned) + 1) as pool:
        with busy(model, batcher, pool):
            answers = [enqueue(batcher, pool, number) for number in range(len(poisoned))]
        for number, answer in enumerate(answers):
            if number in bad:
                assert str(answer.exception()) == f"poisoned by [{number}]"
            else:
                assert answer.result() == (number, "answer")
    retries = len(model.batches) - 2
    assert retries <= 2 * len(bad) * (len(poisoned) - 1).bit_length()


def test_each_waiting_caller_gets_an_error_of_its_own(pool):
    model = Model(range(5))
    batcher = Batcher(model, 8, LONG_S)
    with busy(model, batcher, pool):
        answers = [enqueue(batcher, pool, number) for number in range(5)]
    assert [str(answer.exception()) for answer in answers] == [f"poisoned by [{number}]" for number in range(5)]
    assert len({id(answer.exception()) for answer in answers}) == 5


def test_items_that_fail_only_together_succeed_in_smaller_batches(pool):
    model = Model()

    def call(items):
        answers = model(items)
        if len(items) > 2:
            raise MemoryError
        return answers

    batcher = Batcher(call, 8, LONG_S)
    with busy(model, batcher, pool):
        answers = [enqueue(batcher, pool, number) for number in range(5)]
    assert [answer.result() for answer in answers] == [(number, "answer") for number in range(5)]
    assert [len(batch) for batch in model.batches] == [1, 5, 2, 3, 1, 2]


@pytest.mark.parametrize("answers", [[], [1, 2]])
def test_a_wrong_number_of_answers_is_an_error(answers):
    with pytest.raises(ValueError, match=f"{len(answers)} answers to 1 items"):
        Batcher(lambda _: answers, 8, LONG_S).do("a")


def test_a_terminated_thread_fails_only_its_own_batch(pool):
    model = Model()

    def call(items):
        answers = model(items)
        if "end" in items:
            raise SystemExit
        return answers

    batcher = Batcher(call, 2, LONG_S)
    with busy(model, batcher, pool):
        ended = enqueue(batcher, pool, "end")
        with_it, after = enqueue(batcher, pool, "a"), enqueue(batcher, pool, "b")
    assert isinstance(with_it.exception(), Unavailable)
    # The caller that ran the batch gets the exception itself.
    assert isinstance(ended.exception(), SystemExit)
    assert after.result() == ("b", "answer")
    assert batcher.do("c") == ("c", "answer")


def test_a_thread_that_is_interrupted_while_it_waits_leaves_no_item(monkeypatch):
    model = Model()
    batcher = Batcher(model, 8, LONG_S)

    def end(_timeout):
        raise KeyboardInterrupt

    with announce(batcher) as other, monkeypatch.context() as patch:
        patch.setattr(batcher._changed, "wait", end)
        with pytest.raises(KeyboardInterrupt):
            batcher.do("a")
        other.submit(batcher.withdraw).result()
    assert batcher.do("b") == ("b", "answer")
    assert model.batches == [["b"]]


# Closing


def test_a_closed_batcher_refuses_items():
    batcher = Batcher(Model(), 8, LONG_S)
    batcher.close()
    batcher.close()
    with pytest.raises(Unavailable, match="closed"):
        batcher.do("a")


def test_close_waits_for_queued_items(pool):
    model = Model()
    batcher = Batcher(model, 2, LONG_S)
    with busy(model, batcher, pool):
        answers = [enqueue(batcher, pool, number) for number in range(5)]
        closed = pool.submit(batcher.close)
        wait_until(batcher, lambda: batcher._closed)
        assert not closed.done()
        with pytest.raises(Unavailable):
            batcher.do("late")
    closed.result()
    assert queue_length(batcher) == 0
    assert [answer.result() for answer in answers] == [(number, "answer") for number in range(5)]


def test_close_does_not_wait_for_an_announced_caller(pool):
    batcher = Batcher(Model(), 8, LONG_S)
    with announce(batcher) as other:
        answer = enqueue(batcher, pool, "a")
        batcher.close()
        assert answer.result() == ("a", "answer")
        with pytest.raises(Unavailable):
            other.submit(batcher.do, "b").result()
