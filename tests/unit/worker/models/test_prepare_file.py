"""A prepared embedder gives for pixels what its file gives for the tensor that its description makes of them."""

import numpy as np
import onnx
import pytest

from model_chains import SIDE, convolved, run
from model_chains import embedder as tiny_embedder
from worker.models.catalog import Embedder
from worker.models.preparation.chain import read
from worker.models.preparation.file import prepare_file
from worker.models.preparation.int8 import FLOAT_STAGES
from worker.vision.session import open_session


def described(**changes):
    basics = {"name": "e", "file": "e.onnx", "sha256": "0" * 64, "size": None, "sources": (), "licence": "MIT"}
    return Embedder(**basics, commercial=True, input_size=SIDE, dimension=5, **changes)


@pytest.fixture
def prepared(tmp_path):
    """Prepares a graph as the model describes it, and returns its outputs for pixels."""

    def outputs(model, graph, pixels):
        onnx.save_model(graph, tmp_path / "original.onnx")
        prepare_file(model, tmp_path / "original.onnx", tmp_path / "prepared.onnx")
        (vectors,) = open_session(tmp_path / "prepared.onnx").run(pixels).values()
        return vectors

    return outputs


def pixels(count=1):
    return np.random.default_rng(7).integers(0, 256, (count, SIDE, SIDE, 3), np.uint8)


def tensor(images):
    """Return what a model with channels RGB takes."""
    return np.ascontiguousarray(images[..., ::-1].transpose(0, 3, 1, 2), np.float32)


def test_an_embedder_takes_pixels_in_the_order_and_range_of_its_description(prepared):
    original, images = tiny_embedder(3), pixels(3)
    found = prepared(described(mean=10.0, scale=2.0), original, images)
    expected = run(original, (tensor(images) - 10) / 2)[0]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_an_embedder_with_ranges_is_prepared_in_8_bits(prepared):
    original, images = tiny_embedder(4), pixels()
    activations = convolved(read(original).equalised(FLOAT_STAGES - 1), tensor(images))[FLOAT_STAGES - 1 :]
    ranges = tuple((float(values.min()), float(values.max())) for values in activations)
    found = prepared(described(ranges=ranges), original, images)
    (expected,) = run(original, tensor(images))[0]
    assert found[0] @ expected / np.linalg.norm(found[0]) / np.linalg.norm(expected) > 0.995
