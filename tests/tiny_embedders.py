"""Embedders whose vectors are easy to compute: means of the cells of a grid, by channel."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

GRID = 4


def grid_means(side, *, dimension=None, batch="batch", sides=None, opset=21):
    """Make a model whose vector has the means of GRID x GRID cells of each channel, or the first `dimension` of these
    GRID * GRID * 3 numbers. sides: those of the image in the file, `side` by default.
    """
    full = 3 * GRID * GRID
    dimension = dimension or full
    nodes = [
        helper.make_node(
            "AveragePool", ["image"], ["cells"], kernel_shape=[side // GRID] * 2, strides=[side // GRID] * 2
        ),
        helper.make_node("Reshape", ["cells", "shape"], ["flat"]),
        helper.make_node("MatMul", ["flat", "chosen"], ["vector"]),
    ]
    # With a first axis of 1, as exporters of a single image write it, the preparation allows any batch.
    shape = np.array([1 if batch == 1 else 0, full], np.int64)
    weights = {"shape": shape, "chosen": np.eye(full, dimension, dtype=np.float32)}
    return model(nodes, weights, [batch, 3, *(sides or [side, side])], [batch, dimension], opset=opset)


def model(nodes, weights, image, vector, *, opset=21, kind=TensorProto.FLOAT, more=()):
    """Make a model. image, vector: their shapes. more: names of further outputs."""
    outputs = [helper.make_tensor_value_info("vector", kind, vector)]
    outputs += [helper.make_tensor_value_info(name, kind, None) for name in more]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", kind, image)],
        outputs,
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def saved(made, path):
    onnx.save_model(made, path)
    return path


def expected(crop, *, channels="RGB", mean=0.0, scale=1.0, dimension=None):
    """Return the vector of length 1 of grid_means for a crop, uint8 (side, side, 3) BGR."""
    image = (crop.astype(np.float64) - mean) / scale
    if channels == "RGB":
        image = image[..., ::-1]
    side = len(crop) // GRID
    means = image.reshape(GRID, side, GRID, side, 3).mean(axis=(1, 3)).transpose(2, 0, 1).reshape(-1)[:dimension]
    return means / np.linalg.norm(means)
