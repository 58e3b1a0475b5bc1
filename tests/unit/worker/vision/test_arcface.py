import numpy as np
import pytest

from worker.models.catalog import Embedder
from worker.vision.arcface import ArcFace

SIDE = 4


def embedder(**changes):
    basics = {"name": "e", "file": "e.onnx", "sha256": "0" * 64, "size": None, "sources": (), "licence": "MIT"}
    return Embedder(**basics, commercial=True, input_size=SIDE, dimension=3, **changes)


class Means:
    """A session whose outputs are the means of each channel of each image, and that records its inputs."""

    def __init__(self, answer=None):
        self.given = []
        self.answer = answer

    def run(self, images):
        self.given.append(images)
        return {"out": images.mean(axis=(1, 2), dtype=np.float32) if self.answer is None else self.answer}


def crops(rng, count):
    return rng.integers(0, 256, (count, SIDE, SIDE, 3), dtype=np.uint8)


def test_a_batch_is_one_run_and_keeps_its_order():
    rng = np.random.default_rng(0)
    session, batch = Means(), crops(rng, 5)
    vectors = ArcFace(session, embedder()).embed(batch)
    assert len(session.given) == 1
    np.testing.assert_array_equal(session.given[0], batch)
    assert session.given[0].flags.c_contiguous
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-6)
    expected = batch.mean(axis=(1, 2))
    np.testing.assert_allclose(vectors, expected / np.linalg.norm(expected, axis=1, keepdims=True), rtol=1e-5)


def test_no_crops_give_no_vectors_without_a_run():
    session = Means()
    vectors = ArcFace(session, embedder()).embed(np.empty((0, SIDE, SIDE, 3), np.uint8))
    assert vectors.shape == (0, 3)
    assert session.given == []


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_vectors_that_are_zero_or_not_finite_are_refused(value):
    answer = np.ones((2, 3), np.float32)
    answer[1] = value
    with pytest.raises(ValueError, match="zero or not finite"):
        ArcFace(Means(answer), embedder()).embed(np.zeros((2, SIDE, SIDE, 3), np.uint8))


def test_another_dimension_is_refused():
    with pytest.raises(ValueError, match="gave shape"):
        ArcFace(Means(np.ones((1, 4), np.float32)), embedder()).embed(np.zeros((1, SIDE, SIDE, 3), np.uint8))


def test_crops_of_another_size_are_refused():
    with pytest.raises(ValueError, match="is needed"):
        ArcFace(Means(), embedder()).embed(np.zeros((1, SIDE + 1, SIDE, 3), np.uint8))
