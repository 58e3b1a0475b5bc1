"""An embedder of the MobileFaceNet kind as data: a chain of convolutions with their PReLUs.

Read from a graph in order to write it in another form (int8.py).
"""

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, NodeProto, helper, numpy_helper

from shared.errors import OperatorError
from worker.models.preparation.graph import attribute, scale_and_shift

DEVIATIONS: Final = 6
"""Reach of a channel beyond its mean, in standard deviations. SFace in 8 bits came out alike with 5 to 8."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Stage:
    """A convolution, with the BatchNormalization after it folded into its weights, and a PReLU.

    weight: (outputs, inputs a group, k, k). bias, slope, reach: one for each output. reach: value that an output hardly
    exceeds, > 0. attributes: the convolution's own, as ONNX has them.
    """

    weight: Floats
    bias: Floats
    slope: Floats
    reach: Floats
    attributes: dict[str, Any]

    def outputs_divided(self, by: Floats) -> "Stage":
        """Return the stage with each output, and its reach, divided by a positive number."""
        return replace(self, weight=self.weight / by.reshape(-1, 1, 1, 1), bias=self.bias / by, reach=self.reach / by)

    def inputs_multiplied(self, by: Floats) -> "Stage":
        """Return the stage that multiplies each input first."""
        depthwise = self.attributes.get("group", 1) > 1
        return replace(self, weight=self.weight * by.reshape((-1, 1, 1, 1) if depthwise else (1, -1, 1, 1)))


@dataclass(frozen=True, eq=False)
class Chain:
    """(image - mean) * factor, the stages, and a matrix (dimension, channels, pixels) with a bias (dimension,).

    source, output: names of the graph's input and output. side: of the square image in pixels. opset: version of the
    operators.
    """

    source: str
    output: str
    side: int
    opset: int
    mean: float
    factor: float
    stages: tuple[Stage, ...]
    matrix: Floats
    bias: Floats

    def equalised(self, first: int) -> "Chain":
        """Return the same chain with all channels of each stage from `first` on scaled to a reach of 1.

        A factor > 0 passes through a PReLU, so the next stage can undo it. Source: M. Nagel et al., "Data-Free
        Quantization through Weight Equalization and Bias Correction", 2019; there for ReLU.
        """
        stages = list(self.stages)
        for i in range(first, len(stages)):
            reach = stages[i].reach
            stages[i] = stages[i].outputs_divided(reach)
            if i + 1 < len(stages):
                stages[i + 1] = stages[i + 1].inputs_multiplied(reach)
        return replace(self, stages=tuple(stages), matrix=self.matrix * reach[:, None])


def read(model: ModelProto) -> Chain:
    """Return the chain in a graph with plain weights (graph.unpacked). Raises OperatorError for a graph of another
    kind.
    """
    nodes = _Nodes(model)
    (mean,), (factor,) = nodes.take("Sub")[1], nodes.take("Mul")[1]
    stages = [_stage(nodes)]
    while nodes.next == "Conv":
        stages.append(_stage(nodes))
    before = _affine(nodes)
    nodes.take("Flatten")
    matrix, bias = _matrix(nodes)
    after = _affine(nodes)
    if nodes.next:
        raise _no_chain(f"{nodes.next} after its end")
    matrix = matrix.reshape(len(matrix), len(before.scale), -1)
    (given,), (made,) = model.graph.input, model.graph.output
    return Chain(
        source=given.name,
        output=made.name,
        side=given.type.tensor_type.shape.dim[-1].dim_value,
        opset=next(entry.version for entry in model.opset_import if not entry.domain),
        mean=float(mean.item()),
        factor=float(factor.item()),
        stages=tuple(stages),
        matrix=matrix * before.scale[:, None] * after.scale[:, None, None],
        bias=(np.einsum("dcp,c->d", matrix, before.shift) + bias) * after.scale + after.shift,
    )


class _Nodes:
    """The nodes of a chain, taken one by one."""

    def __init__(self, model: ModelProto) -> None:
        self._nodes = list(model.graph.node)
        self._values = {t.name: numpy_helper.to_array(t).astype(np.float64) for t in model.graph.initializer}
        self._from = model.graph.input[0].name

    @property
    def next(self) -> str | None:
        """Operator of the next node; None at the end."""
        return self._nodes[0].op_type if self._nodes else None

    def take(self, operator: str) -> tuple[NodeProto, list[Floats]]:
        """Return the next node and its weights. Raises OperatorError if it has another operator."""
        if self.next != operator or self._nodes[0].input[0] != self._from:
            raise _no_chain(f"{self.next} where {operator} should follow {self._from}")
        node = self._nodes.pop(0)
        self._from = node.output[0]
        if not all(name in self._values for name in node.input[1:]):
            raise _no_chain(f"{operator} with weights that are not known")
        return node, [self._values[name] for name in node.input[1:]]


@dataclass(frozen=True, eq=False)
class _Affine:
    """A BatchNormalization: x * scale + shift. mean, deviation: of its output, on the training data."""

    scale: Floats
    shift: Floats
    mean: Floats
    deviation: Floats


def _affine(nodes: _Nodes) -> _Affine:
    node, weights = nodes.take("BatchNormalization")
    gamma, beta, *_ = weights
    return _Affine(*scale_and_shift(node, weights), beta, np.abs(gamma))


def _stage(nodes: _Nodes) -> Stage:
    convolution, (weight, *bias) = nodes.take("Conv")
    norm = _affine(nodes)
    _, (slope,) = nodes.take("PRelu")
    reach = np.abs(norm.mean) + DEVIATIONS * norm.deviation
    return Stage(
        weight=weight * norm.scale.reshape(-1, 1, 1, 1),
        bias=(bias[0] if bias else 0) * norm.scale + norm.shift,
        slope=np.broadcast_to(slope.reshape(-1), norm.scale.shape),
        # An output that is always zero may be divided by anything.
        reach=np.where(reach > 0, reach, 1),
        attributes={a.name: helper.get_attribute_value(a) for a in convolution.attribute},
    )


def _matrix(nodes: _Nodes) -> tuple[Floats, Floats]:
    """Return weight (outputs, inputs) and bias of a Gemm."""
    gemm, (weight, *bias) = nodes.take("Gemm")
    if [attribute(gemm, name, default) for name, default in (("alpha", 1), ("beta", 1), ("transA", 0))] != [1, 1, 0]:
        raise _no_chain("a Gemm with factors")
    return weight if attribute(gemm, "transB", 0) else weight.T, bias[0] if bias else np.zeros(1)


def _no_chain(found: str) -> OperatorError:
    return OperatorError(f"cannot quantise the model: its graph is none of the kind that is known, it has {found}")
