"""Each request gets the output of its own images, whichever share the inference."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.inference.sessions import MOST_OTHERS, Sessions, row_counts


class Sums:
    """A session whose output is the sum of each image and its first number. It records the shapes of its inputs."""

    def __init__(self):
        self.shapes = []
        self.given = []

    def run(self, images):
        self.shapes.append(images.shape)
        self.given.append(images.copy())
        flat = images.reshape(len(images), -1).astype(np.float32)
        return {"out": np.stack([flat.sum(axis=1), flat[:, 0]], axis=1)}


class Opened:
    """Opens sessions and records them by what they are for."""

    def __init__(self, make=Sums):
        self.make = make
        self.sessions = []

    def __call__(self, size, rows):
        self.sessions.append(((size, rows), self.make()))
        return self.sessions[-1][1]

    def shapes(self, size, rows):
        return [shape for what, session in self.sessions if what == (size, rows) for shape in session.shapes]


def images(rng, rows, height=2, width=3):
    return rng.integers(0, 256, (rows, height, width, 3), np.uint8)


def check(outputs, requests):
    for output, request in zip(outputs, requests, strict=True):
        np.testing.assert_array_equal(output, Sums().run(request)["out"])


@given(size=st.integers(1, 64))
def test_padding_is_less_than_half_of_a_batch(size):
    counts = row_counts(size)
    assert counts == sorted(set(counts))
    assert counts[-1] == size
    for rows in range(1, size + 1):
        assert next(count for count in counts if count >= rows) < 2 * rows


@given(counts=st.lists(st.integers(1, 9), min_size=1, max_size=8), size=st.integers(1, 16), seed=st.integers(0, 99))
def test_outputs_return_to_their_requests_and_each_session_has_one_shape(counts, size, seed):
    rng, opened = np.random.default_rng(seed), Opened()
    sessions = Sessions(opened, [(2, 3)], size)
    requests = [images(rng, rows) for rows in counts]
    check(sessions.run(requests), requests)
    for (_, rows), session in opened.sessions:
        assert set(session.shapes) <= {(rows, 2, 3, 3)}


def test_padding_is_black():
    opened, rng = Opened(), np.random.default_rng(0)
    sessions = Sessions(opened, [(2, 3)], 4)
    sessions.run([images(rng, 1)] * 4)
    sessions.run([images(rng, 1)] * 3)
    (given_,) = [session.given[-1] for what, session in opened.sessions if what == ((2, 3), 4)]
    assert not given_[3].any()
    assert given_[:3].any()


def test_a_request_that_fills_an_inference_is_not_copied():
    class Same:
        def run(self, given_):
            self.given = given_
            return {"out": given_.reshape(len(given_), -1).astype(np.float32)}

    same, request = Same(), images(np.random.default_rng(0), 4)
    Sessions(lambda _size, _rows: same, [(2, 3)], 8).run([request])
    assert same.given is request


def test_sizes_that_are_not_usual_have_a_session_each():
    opened, rng = Opened(), np.random.default_rng(0)
    sessions = Sessions(opened, [(2, 3)], 2)
    for height in (4, 5, 4, 5):
        requests = [images(rng, 1, height), images(rng, 1, height)]
        check(sessions.run(requests), requests)
    assert opened.shapes((4, 3), None) == [(2, 4, 3, 3)] * 2
    assert opened.shapes((5, 3), None) == [(2, 5, 3, 3)] * 2


def test_of_sizes_that_are_not_usual_the_last_used_stay_open():
    opened, rng = Opened(), np.random.default_rng(0)
    sessions = Sessions(opened, [], 2)
    for height in (*range(1, MOST_OTHERS + 1), 1, MOST_OTHERS + 1, 1, 2):
        sessions.run([images(rng, 1, height)])
    heights = [size[0] for (size, _), _ in opened.sessions]
    assert heights == [*range(1, MOST_OTHERS + 2), 2]


def test_what_callers_do_not_need_is_left_out():
    sessions = Sessions(Opened(), [(2, 3)], 4, lambda output: output[:, :1])
    request = images(np.random.default_rng(0), 3)
    (output,) = sessions.run([request])
    np.testing.assert_array_equal(output, Sums().run(request)["out"][:, :1])


@pytest.mark.parametrize("output", [np.ones(1, np.float32), np.ones((2, 4), np.float32)])
def test_an_output_without_a_row_for_each_image_is_an_error(output):
    class Wrong:
        def run(self, _images):
            return {"out": output}

    with pytest.raises(ValueError, match="the output has shape"):
        Sessions(lambda _size, _rows: Wrong(), [(2, 3)], 8).run([images(np.random.default_rng(0), 4)])


def test_try_out_runs_each_usual_session_at_its_own_size():
    opened = Opened()
    Sessions(opened, [(2, 3), (5, 5)], 3).try_out()
    assert [session.shapes for _, session in opened.sessions] == [
        [(rows, *size, 3)] for size in ((2, 3), (5, 5)) for rows in (1, 2, 3)
    ]
