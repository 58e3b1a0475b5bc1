"""Which requests share an inference, which go next, and what an error does to the others."""

import threading
from collections import defaultdict
from concurrent.futures import Future
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import Unavailable
from worker.inference.batches import Batches

LONG_S = 3600
"""Longer than the time limit of a test: a batch that waits this long fails it."""


def images(number, side=1, rows=1):
    """Return a request that can be told from others: its number is in each of its images."""
    made = np.zeros((rows, side, side, 3), np.uint8)
    made[:, 0, 0, 0] = number
    return made


def number_of(request):
    return int(request[0, 0, 0, 0])


class Model:
    """Answers a request with its number, records its batches by side, and can be made busy with one side."""

    def __init__(self, poison=()):
        self.batches = defaultdict(list)
        self.at_once = 0
        self.most_at_once = 0
        self.poison = set(poison)
        self.entered, self.may_go = threading.Event(), threading.Event()
        self._running = set()
        self._lock = threading.Lock()

    def __call__(self, requests):
        side = requests[0].shape[1]
        numbers = [number_of(request) for request in requests]
        with self._lock:
            assert side not in self._running, "two inferences of one shape at the same time"
            self._running.add(side)
            self.most_at_once = max(self.most_at_once, len(self._running))
            self.batches[side].append(numbers)
        try:
            if 255 in numbers:
                self.entered.set()
                self.may_go.wait()
            if poisoned := self.poison.intersection(numbers):
                raise ArithmeticError(f"poisoned by {sorted(poisoned)}")
            return [
                np.full(len(request), number, np.float32) for request, number in zip(requests, numbers, strict=True)
            ]
        finally:
            with self._lock:
                self._running.discard(side)


class Callers:
    """Callers of batches, whose answers are futures."""

    def __init__(self, model, size=8, wait_s=LONG_S, lanes=1):
        self.batches = Batches(model, size, wait_s, lanes)
        self.model = model

    def put(self, number, side=1, rows=1, caller=None):
        answer = Future()

        def answered(output, rows):
            answer.set_result((output, rows))

        self.batches.put(caller, images(number, side, rows), answered)
        return answer

    @contextmanager
    def busy(self, side=1):
        """Within this context the model works on images of that side."""
        self.model.may_go.clear()
        self.model.entered.clear()
        first = self.put(255, side)
        assert self.model.entered.wait(30)
        try:
            yield
        finally:
            self.model.may_go.set()
            value(first)


def value(answer):
    """Return the output of an answer, or raise its error."""
    output, _ = answer.result(30)
    if isinstance(output, Exception):
        raise output
    return output


@pytest.fixture
def callers():
    """Callers of a model with one lane; closed in the end."""
    made = []

    def make(*arguments, **options):
        made.append(Callers(*arguments, **options))
        return made[-1]

    yield make
    for one in made:
        one.batches.close()


# When a batch starts


def test_a_request_starts_at_once_when_no_caller_is_announced(callers):
    assert value(callers(Model()).put(7)).tolist() == [7]


def test_requests_that_come_while_the_model_is_busy_share_an_inference_in_order_of_arrival(callers):
    all_ = callers(Model())
    with all_.busy():
        answers = [all_.put(number) for number in range(5)]
    assert [value(answer).tolist() for answer in answers] == [[number] for number in range(5)]
    assert all_.model.batches[1] == [[255], [0, 1, 2, 3, 4]]


def test_the_rows_of_an_inference_are_told_to_one_of_its_callers(callers):
    all_ = callers(Model())
    with all_.busy():
        answers = [all_.put(number, rows=2) for number in range(3)]
    assert [answer.result(30)[1] for answer in answers] == [6, 0, 0]


def test_a_batch_waits_for_all_announced_callers(callers):
    all_ = callers(Model())
    for caller in "bc":
        all_.batches.announce(caller)
    answers = [all_.put(0), all_.put(1, caller="b")]
    assert not all_.model.batches
    answers.append(all_.put(2, caller="c"))
    assert [value(answer).tolist() for answer in answers] == [[0], [1], [2]]
    assert all_.model.batches[1] == [[0, 1, 2]]


def test_a_batch_starts_when_the_announced_caller_withdraws(callers):
    all_ = callers(Model())
    all_.batches.announce("b")
    answer = all_.put(0)
    assert not all_.model.batches
    all_.batches.withdraw("b")
    assert value(answer).tolist() == [0]


def test_a_full_batch_starts_at_once(callers):
    all_ = callers(Model(), size=3)
    all_.batches.announce("other")
    answers = [all_.put(0), all_.put(1, rows=2)]
    assert [value(answer)[0] for answer in answers] == [0, 1]
    assert all_.model.batches[1] == [[0, 1]]
    all_.batches.withdraw("other")


def test_a_full_batch_does_not_wait_for_a_waiting_batch_of_another_shape(callers):
    all_ = callers(Model(), size=2)
    all_.batches.announce("other")
    held = all_.put(0, side=1)
    assert value(all_.put(1, side=2, rows=2))[0] == 1
    assert not held.done()
    all_.batches.withdraw("other")
    assert value(held).tolist() == [0]


@pytest.mark.parametrize("wait_s", [0, 0.001])
def test_a_batch_waits_no_longer_than_the_setting(callers, wait_s):
    all_ = callers(Model(), wait_s=wait_s)
    all_.batches.announce("other")
    assert value(all_.put(0)).tolist() == [0]


# What is run together


def test_shapes_are_run_at_the_same_time_and_each_in_one_inference_at_most(callers):
    all_ = callers(Model(), size=4, lanes=2)
    with all_.busy(side=1):
        others = [all_.put(number, side=2) for number in range(3)]
        waiting = [all_.put(number, side=1) for number in range(3)]
        assert [value(answer).tolist() for answer in others] == [[0], [1], [2]]
        assert not any(answer.done() for answer in waiting)
    assert [value(answer).tolist() for answer in waiting] == [[0], [1], [2]]
    assert all_.model.most_at_once == 2


def test_a_rare_shape_waits_only_for_earlier_requests(callers):
    all_ = callers(Model(), size=2)
    with all_.busy(side=1):
        common = [all_.put(number, side=2) for number in range(4)]
        rare = all_.put(9, side=3)
        later = [all_.put(number, side=2) for number in range(4, 8)]
        order = []
        for answer in (*common, rare, *later):
            answer.add_done_callback(lambda done: order.append(int(done.result()[0][0])))
    for answer in (*common, rare, *later):
        value(answer)
    assert order.index(9) <= 4


@given(weights=st.lists(st.integers(1, 6), max_size=12), size=st.integers(1, 8))
def test_batches_are_in_order_of_arrival_and_within_the_size(weights, size):
    all_ = Callers(Model(), size=size)
    with all_.busy():
        answers = [all_.put(number, rows=rows) for number, rows in enumerate(weights)]
    assert [value(answer).tolist() for answer in answers] == [[number] * rows for number, rows in enumerate(weights)]
    all_.batches.close()
    batches = all_.model.batches[1][1:]
    assert [number for batch in batches for number in batch] == list(range(len(weights)))
    for batch, after in zip(batches, [*batches[1:], None], strict=False):
        rows = sum(weights[number] for number in batch)
        assert len(batch) == 1 or rows <= size
        assert after is None or rows + weights[after[0]] > size, "a batch takes all that fits"


def test_every_caller_gets_its_own_answer(callers):
    """Callers in rounds, most of them announced, with three shapes and several rows; some requests are poisoned."""
    count, rounds, every = 10, 25, 29
    all_ = callers(Model(poison=range(0, count * rounds, every)), size=12, wait_s=0.002, lanes=2)

    def caller(number):
        rng = np.random.default_rng(number)
        for item in range(number, count * rounds, count):
            if rng.random() < 0.8:
                all_.batches.announce(number)
            answer = all_.put(item, int(rng.integers(1, 4)), int(rng.integers(1, 6)), number)
            if item % every:
                assert set(value(answer)) == {item}
            else:
                with pytest.raises(ArithmeticError, match=rf"poisoned by \[{item}\]"):
                    value(answer)

    threads = [threading.Thread(target=caller, args=[number]) for number in range(count)]
    failures = []
    hook, threading.excepthook = threading.excepthook, failures.append
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    finally:
        threading.excepthook = hook
    assert not failures


# Errors


@given(poisoned=st.lists(st.booleans(), min_size=1, max_size=16))
def test_only_poisoned_requests_fail(poisoned):
    bad = [number for number, is_bad in enumerate(poisoned) if is_bad]
    all_ = Callers(Model(bad), size=len(poisoned))
    with all_.busy():
        answers = [all_.put(number) for number in range(len(poisoned))]
    for number, answer in enumerate(answers):
        output, _ = answer.result(30)
        if number in bad:
            assert str(output) == f"poisoned by [{number}]"
        else:
            assert output.tolist() == [number]
    all_.batches.close()
    retries = len(all_.model.batches[1]) - 2
    assert retries <= 2 * len(bad) * (len(poisoned) - 1).bit_length()


def test_requests_that_fail_only_together_succeed_in_smaller_batches(callers):
    model = Model()

    def call(requests):
        outputs = model(requests)
        if len(requests) > 2:
            raise MemoryError
        return outputs

    all_ = callers(model)
    all_.batches._call = call
    with all_.busy():
        answers = [all_.put(number) for number in range(5)]
    assert [value(answer).tolist() for answer in answers] == [[number] for number in range(5)]
    assert [len(batch) for batch in model.batches[1]] == [1, 5, 2, 3, 1, 2]


# Closing


def test_closed_batches_refuse_requests(callers):
    all_ = callers(Model())
    all_.batches.close()
    with pytest.raises(Unavailable, match="closed"):
        all_.put(0)


def test_close_answers_what_waits_and_waits_for_no_announced_caller(callers):
    all_ = callers(Model(), size=2)
    all_.batches.announce("other")
    answers = [all_.put(0)]
    all_.batches.close()
    assert [value(answer).tolist() for answer in answers] == [[0]]
