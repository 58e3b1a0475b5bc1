"""Each caller gets the outputs of its own rows, whichever rows share the inference."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import Unavailable
from worker.vision.batched_session import BatchedSession, row_counts

LONG_S = 3600


class Sums:
    """A session with outputs that identify each row: its sum, and itself repeated. It records its inputs."""

    def __init__(self, poison=np.inf):
        self.given = []
        self.poison = poison

    def run(self, tensor):
        self.given.append(tensor.copy())
        if (tensor == self.poison).any():
            raise ArithmeticError("poisoned")
        rows = tensor.reshape(len(tensor), -1)
        return {"sum": rows.sum(axis=1), "twice": np.concatenate([rows, rows], axis=1)}


class Opened:
    """Opens sessions and records them."""

    def __init__(self, make=Sums):
        self.make = make
        self.sessions = []

    def __call__(self):
        self.sessions.append(self.make())
        return self.sessions[-1]

    @property
    def shapes(self):
        return [[tensor.shape for tensor in session.given] for session in self.sessions]


def rows_of(rng, count, shape):
    return rng.integers(0, 1000, (count, *shape)).astype(np.float32)


def check(outputs, tensor):
    """Require the outputs that a session of the caller's own gives."""
    expected = Sums().run(tensor)
    assert outputs.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(outputs[name], values)


def together(session, tensors):
    """Run the tensors in one batch, or in as few as possible: each caller is announced before any runs."""
    barrier = threading.Barrier(len(tensors))

    def run(tensor):
        session.announce()
        barrier.wait()
        return session.run(tensor)

    with ThreadPoolExecutor(len(tensors)) as pool:
        return [answer.result() for answer in [pool.submit(run, tensor) for tensor in tensors]]


@given(size=st.integers(1, 64))
def test_padding_is_less_than_half_of_a_batch(size):
    counts = row_counts(size)
    assert counts == sorted(set(counts))
    assert counts[-1] == size
    for rows in range(1, size + 1):
        assert next(count for count in counts if count >= rows) < 2 * rows


@given(counts=st.lists(st.integers(1, 9), min_size=1, max_size=8), size=st.integers(1, 16), seed=st.integers(0, 99))
def test_rows_return_to_their_callers(counts, size, seed):
    rng = np.random.default_rng(seed)
    opened, sent = Opened(), []
    session = BatchedSession(opened, [(2, 3)], size, LONG_S, sent.append)
    tensors = [rows_of(rng, count, (2, 3)) for count in counts]
    for outputs, tensor in zip(together(session, tensors), tensors, strict=True):
        check(outputs, tensor)
    assert sum(sent) == sum(counts)
    assert max(sent) <= size
    *own, others = opened.shapes
    for rows, shapes in zip(row_counts(size), own, strict=True):
        assert set(shapes) <= {(rows, 2, 3)}, "each session of ONNX Runtime has one shape"
    assert others == []


def test_padding_is_zero():
    opened = Opened()
    session = BatchedSession(opened, [(2,)], 4, LONG_S)
    ones = np.ones((1, 2), np.float32)
    together(session, [ones] * 4)
    together(session, [ones] * 3)
    np.testing.assert_array_equal(opened.sessions[2].given[-1], [[1, 1], [1, 1], [1, 1], [0, 0]])


def test_outputs_do_not_change_when_others_call():
    rng = np.random.default_rng(0)
    session = BatchedSession(Sums, [(3,)], 8, LONG_S)
    first = [rows_of(rng, 2, (3,)) for _ in range(3)]
    kept = together(session, first)
    together(session, [rows_of(rng, 2, (3,)) for _ in range(3)])
    for outputs, tensor in zip(kept, first, strict=True):
        check(outputs, tensor)


def test_a_single_tensor_without_padding_is_not_copied():
    class Same:
        def run(self, tensor):
            self.given = tensor
            return {"out": tensor.sum(axis=1)}

    same = Same()
    tensor = np.ones((4, 2), np.float32)
    BatchedSession(lambda: same, [(2,)], 8, LONG_S).run(tensor)
    assert same.given is tensor or same.given.base is tensor


def test_more_rows_than_a_batch_take_several_calls():
    rng, sent = np.random.default_rng(0), []
    tensor = rows_of(rng, 19, (2, 2))
    check(BatchedSession(Sums, [(2, 2)], 8, LONG_S, sent.append).run(tensor), tensor)
    assert sent == [8, 8, 3]


def test_no_rows_give_empty_outputs():
    outputs = BatchedSession(Sums, [(2,)], 8, LONG_S).run(np.empty((0, 2), np.float32))
    assert outputs["sum"].shape == (0,)
    assert outputs["twice"].shape == (0, 4)


def test_tensors_of_one_shape_share_a_call_and_unlisted_shapes_share_a_session():
    rng = np.random.default_rng(0)
    opened = Opened()
    session = BatchedSession(opened, [(2, 3), (3, 2)], 2, LONG_S)
    tensors = [rows_of(rng, 1, shape) for shape in [(2, 3), (3, 2), (2, 3), (6,), (3, 2), (6,), (2, 3), (5,)]]
    for outputs, tensor in zip(together(session, tensors), tensors, strict=True):
        check(outputs, tensor)
    *own, others = opened.shapes
    assert own == [[(1, 2, 3)], [(2, 2, 3)], [], [(2, 3, 2)]]
    assert sorted(others) == [(1, 5), (2, 6)]


def test_only_the_poisoned_tensor_fails():
    rng = np.random.default_rng(0)
    session = BatchedSession(lambda: Sums(poison=-1), [(2,)], 8, LONG_S)
    tensors = [rows_of(rng, 1, (2,)) for _ in range(5)]
    tensors[3][:] = -1
    barrier = threading.Barrier(5)

    def run(tensor):
        session.announce()
        barrier.wait()
        return session.run(tensor)

    with ThreadPoolExecutor(5) as pool:
        answers = [pool.submit(run, tensor) for tensor in tensors]
    assert [type(answer.exception()) for answer in answers] == [*[type(None)] * 3, ArithmeticError, type(None)]
    for answer, tensor in zip(answers, tensors, strict=True):
        if not answer.exception():
            check(answer.result(), tensor)


def test_nan_stays_in_its_own_rows():
    session = BatchedSession(Sums, [(2,)], 4, LONG_S)
    bad, good = np.full((1, 2), np.nan, np.float32), np.ones((2, 2), np.float32)
    _, outputs = together(session, [bad, good])
    check(outputs, good)


@pytest.mark.parametrize("output", [np.float32(1), np.ones(1, np.float32), np.ones((2, 4), np.float32)])
def test_an_output_without_a_row_for_each_input_row_is_an_error(output):
    class Wrong:
        def run(self, _tensor):
            return {"out": output}

    with pytest.raises(ValueError, match="output out has shape"):
        BatchedSession(Wrong, [(2,)], 8, LONG_S).run(np.ones((4, 2), np.float32))


def test_callers_of_any_shape_and_number_of_rows_never_get_other_rows():
    """Random sizes from many threads in random order."""
    sessions = BatchedSession(lambda: Sums(poison=-1), [(3,), (2, 5)], 16, 0.002)
    barrier = threading.Barrier(12)

    def caller(number):
        rng = np.random.default_rng(number)
        barrier.wait()
        for _ in range(60):
            if rng.random() < 0.5:
                sessions.announce()
            tensor = rows_of(rng, rng.integers(1, 24), [(3,), (2, 5), (7, 1)][rng.integers(0, 3)])
            if rng.random() < 0.05:
                tensor[rng.integers(0, len(tensor))] = -1
                with pytest.raises(ArithmeticError):
                    sessions.run(tensor)
            else:
                check(sessions.run(tensor), tensor)

    with ThreadPoolExecutor(12) as pool:
        for done in [pool.submit(caller, number) for number in range(12)]:
            done.result()


def test_try_out_runs_each_session_at_its_own_size():
    opened = Opened()
    BatchedSession(opened, [(2, 3), (5,)], 3, LONG_S).try_out()
    assert opened.shapes == [[(1, 2, 3)], [(2, 2, 3)], [(3, 2, 3)], [(1, 5)], [(2, 5)], [(3, 5)], []]


def test_a_withdrawn_caller_is_not_waited_for_and_a_closed_session_refuses_calls():
    session = BatchedSession(Sums, [(2,)], 8, LONG_S)
    with ThreadPoolExecutor(1) as other:
        other.submit(session.announce).result()
        other.submit(session.withdraw).result()
        check(session.run(np.ones((1, 2), np.float32)), np.ones((1, 2), np.float32))
    session.close()
    with pytest.raises(Unavailable):
        session.run(np.ones((1, 2), np.float32))
