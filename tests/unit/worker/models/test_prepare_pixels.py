"""A prepared graph takes pixels as they are decoded, and gives what the original gives for normalised tensors."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from worker.models.preparation.pixels import take_pixels
from worker.vision.session import onnxruntime

SIDE = 4


def copying(sides=(SIDE, SIDE)):
    """A model that gives the tensor that it takes."""
    info = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 3, *sides]) for name in ("image", "copied")
    ]
    graph = helper.make_graph([helper.make_node("Identity", ["image"], ["copied"])], "copying", info[:1], info[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=10)


def taken(model, images):
    """Return the tensor that reaches the model."""
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    assert given.type == "tensor(uint8)"
    (tensor,) = session.run(None, {given.name: images})
    return tensor


@pytest.mark.parametrize("channels", ["RGB", "BGR"])
@pytest.mark.parametrize(("mean", "scale"), [(0.0, 1.0), (127.5, 127.5), (3.25, 1.0), (0.0, 58.4), (-1.5, 0.1)])
def test_channels_and_range_are_those_described(channels, mean, scale):
    images = np.random.default_rng(0).integers(0, 256, (3, SIDE, SIDE, 3), np.uint8)
    ordered = images[..., ::-1] if channels == "RGB" else images
    expected = (ordered.transpose(0, 3, 1, 2).astype(np.float32) - np.float32(mean)) / np.float32(scale)
    np.testing.assert_array_equal(taken(take_pixels(copying(), channels, mean, scale), images), expected)


def test_free_sides_stay_free():
    model = take_pixels(copying(("height", "width")))
    for height, width in ((2, 5), (7, 3)):
        assert taken(model, np.zeros((1, height, width, 3), np.uint8)).shape == (1, 3, height, width)


def test_the_given_model_is_unchanged():
    model = copying()
    before = model.SerializeToString(deterministic=True)
    take_pixels(model, "RGB", 127.5, 127.5)
    assert model.SerializeToString(deterministic=True) == before
