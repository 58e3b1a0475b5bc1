"""Tiny embedders of the form that prepare_chain.py reads, with random weights."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from worker.vision.session import onnxruntime

SIDE, DIMENSION = 8, 5
# outputs, attributes: as in a MobileFaceNet, a 1 x 1 convolution after each depthwise one.
STAGES = (
    (4, {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}),
    (4, {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "group": 4}),
    (6, {"kernel_shape": [1, 1]}),
    (6, {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [2, 2], "group": 6}),
    (16, {"kernel_shape": [1, 1]}),
)


class Graph:
    """Nodes in a row with their weights."""

    def __init__(self, rng):
        self._rng = rng
        self.nodes, self.weights, self.last = [], [], "image"

    def add(self, operator, *weights, **attributes):
        names = []
        for value in weights:
            names.append(f"w{len(self.weights)}")
            self.weights.append(numpy_helper.from_array(np.asarray(value, np.float32), names[-1]))
        made = f"{operator}{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, [self.last, *names], [made], **attributes))
        self.last = made

    def norm(self, channels):
        rng = self._rng
        centre, spread = rng.normal(size=(2, channels))
        self.add("BatchNormalization", spread, centre, rng.normal(size=channels), rng.uniform(0.5, 2, channels))


def embedder(seed, *, bias=True, steepest=1.0, transposed=True):
    rng = np.random.default_rng(seed)
    graph = Graph(rng)
    graph.add("Sub", 127.5)
    graph.add("Mul", 1 / 128)
    channels = 3
    for outputs, attributes in STAGES:
        shape = (outputs, channels // attributes.get("group", 1), *attributes["kernel_shape"])
        weights = [rng.normal(size=shape) / np.sqrt(np.prod(shape[1:]))] + [rng.normal(size=outputs)] * bias
        graph.add("Conv", *weights, **attributes)
        graph.norm(outputs)
        graph.add("PRelu", rng.uniform(-0.5, steepest, (outputs, 1, 1)))
        channels = outputs
    graph.norm(channels)
    graph.add("Flatten")
    matrix = rng.normal(size=(DIMENSION, channels * SIDE * SIDE // 4)) / 16
    graph.add("Gemm", matrix if transposed else matrix.T, rng.normal(size=DIMENSION), transB=int(transposed))
    graph.norm(DIMENSION)
    return model(graph.nodes, graph.weights, graph.last)


def model(nodes, weights, output):
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, SIDE, SIDE])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["batch", DIMENSION])],
        weights,
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    onnx.checker.check_model(made, full_check=True)
    return made


def images(seed, count=1):
    return np.random.default_rng(seed).uniform(0, 255, (count, 3, SIDE, SIDE)).astype(np.float32)


def run(made, x):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(made.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {"image": x})


def spelled_out(chain):
    """Return the chain as a graph of plain operators, and the names of the outputs of its convolutions."""
    graph = Graph(None)
    graph.add("Sub", chain.mean)
    graph.add("Mul", chain.factor)
    convolutions = []
    for stage in chain.stages:
        graph.add("Conv", stage.weight, stage.bias, **stage.attributes)
        convolutions.append(graph.last)
        graph.add("PRelu", stage.slope.reshape(-1, 1, 1))
    graph.add("Flatten")
    graph.add("Gemm", chain.matrix.reshape(DIMENSION, -1), chain.bias, transB=1)
    return model(graph.nodes, graph.weights, graph.last), convolutions


def convolved(chain, x):
    """Return the output of each convolution of the chain."""
    made, names = spelled_out(chain)
    made.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names)
    return run(made, x)[1:]
