"""An embedder in 8 bits: weights, activations and arithmetic.

Twice as fast as fp32 on a CPU with byte multiplication (VNNI); its cost, and what else was tried, is in
docs/decisions/0010-int8.md. It uses ONNX Runtime's own operators (domain com.microsoft), in NHWC, the layout that they
are fast in: https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md. A change of the output raises
its version in versions.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from shared.errors import OperatorError
from worker.models.preparation.chain import Chain, Stage, read
from worker.models.preparation.quantization import quantize_rows
from worker.models.ranges import Range

FLOAT_STAGES: Final = 2
"""Number of stages that stay fp32, with 3% of SFace's multiplications. In 8 bits they were slower and less exact."""

_MICROSOFT: Final = "com.microsoft"
_STEPS: Final = 255
_MOST_BIAS: Final = 2**30
"""Largest bias in 32 bits, which leaves room for the products that are added to it."""


def quantize(model: ModelProto, ranges: Sequence[Range]) -> ModelProto:
    """Return a new model with the same inputs and approximately the same outputs.

    model: with plain weights. ranges: of the convolutions' outputs, in units of their channels' reach, from the last
    fp32 stage on. Raises OperatorError if the model is not a chain, or has another number of stages than there are
    ranges.
    """
    chain = read(model).equalised(FLOAT_STAGES - 1)
    if len(chain.stages) != FLOAT_STAGES - 1 + len(ranges):
        raise OperatorError(f"cannot quantise the model: {len(chain.stages)} stages for {len(ranges)} ranges")
    return _Writer(chain).written(ranges)


@dataclass(frozen=True)
class _Scale:
    """A byte q represents step * (q - zero)."""

    step: float
    zero: int

    @classmethod
    def holding(cls, low: float, high: float) -> "_Scale":
        """Return a scale from low to high that represents zero exactly: borders are padded with it."""
        low, high = min(low, 0.0), max(high, 0.0)
        step = (high - low) / _STEPS or 1.0
        return cls(step, round(-low / step))


def _scale(stage: Stage, low: float, high: float) -> _Scale:
    """Return the scale of x and of prelu(x) where low <= x <= high."""
    below = stage.slope * min(low, 0.0)
    return _Scale.holding(min(low, float(below.min())), max(high, float(below.max())))


class _Writer:
    """A graph that is written node by node. Tensors are bytes in NHWC from the first 8-bit stage on."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._nodes: list[NodeProto] = []
        self._weights: list[TensorProto] = []

    def written(self, ranges: Sequence[Range]) -> ModelProto:
        chain = self._chain
        image = self._add("Sub", chain.source, self._floats(chain.mean))
        x = self._add("Mul", image, self._floats(chain.factor))
        for stage in chain.stages[:FLOAT_STAGES]:
            x = self._add("Conv", x, self._floats(stage.weight), self._floats(stage.bias), **stage.attributes)
            x = self._add("PRelu", x, self._floats(stage.slope.reshape(-1, 1, 1)))
        scale = _scale(chain.stages[FLOAT_STAGES - 1], *ranges[0])
        x = self._add("QuantizeLinear", self._add("Transpose", x, perm=[0, 2, 3, 1]), *self._scale(scale))
        for stage, (low, high) in zip(chain.stages[FLOAT_STAGES:], ranges[1:], strict=True):
            given, scale = scale, _scale(stage, low, high)
            x = self._stage(x, given, stage, scale)
        self._matrix(x, scale)
        return self._model()

    def _stage(self, x: str, given: _Scale, stage: Stage, scale: _Scale) -> str:
        """Write a stage and return its output, of the scale `scale`. x: its input, of the scale `given`.

        A PReLU is x + relu((a - 1) x) where a <= 1, and an unsigned result that starts at zero is a relu by itself. All
        share one step, so that nothing is rounded twice: with a step for each the mean cosine to fp32 was 0.995 instead
        of 0.997.
        """
        if stage.slope.max() > 1:
            raise OperatorError("cannot quantise the model: a PReLU steeper than 1 below zero")
        positive = _Scale(scale.step, 0)
        each = {"group": len(stage.slope)}
        linear = self._convolution(x, given, stage.weight, scale, stage.attributes, stage.bias)
        below = self._convolution(linear, scale, (stage.slope - 1).reshape(-1, 1, 1, 1), positive, each)
        terms = linear, *self._scale(scale), below, *self._scale(positive)
        return self._add("QLinearAdd", *terms, *self._scale(scale), domain=_MICROSOFT)

    def _convolution(
        self,
        x: str,
        given: _Scale,
        weight: npt.NDArray[np.float64],
        scale: _Scale,
        attributes: dict[str, Any],
        bias: npt.NDArray[np.float64] | None = None,
    ) -> str:
        finest = 0 if bias is None else np.abs(bias) / (_MOST_BIAS * given.step)
        whole, step = quantize_rows(weight, finest)
        inputs = [x, *self._scale(given), *self._rows(whole, step), *self._scale(scale)]
        if bias is not None:
            inputs.append(self._weight(np.rint(bias / (step.astype(np.float64) * given.step)).astype(np.int32)))
        shape = {"kernel_shape": weight.shape[2:], "channels_last": 1}
        return self._add("QLinearConv", *inputs, domain=_MICROSOFT, **(attributes | shape))

    def _matrix(self, x: str, given: _Scale) -> None:
        """Write the last product, from bytes to floats."""
        # In NHWC pixels come before channels.
        rows = self._chain.matrix.transpose(0, 2, 1).reshape(len(self._chain.matrix), -1)
        whole, step = quantize_rows(rows)
        flat = self._add("Reshape", x, self._weight(np.array([0, rows.shape[1]], np.int64)))
        step_of_x, zero_of_x = self._scale(given)
        matrix, steps, zeros = self._rows(whole.T, step)
        inputs = [flat, matrix, step_of_x, steps, zero_of_x, zeros, self._floats(self._chain.bias)]
        node = helper.make_node("MatMulIntegerToFloat", inputs, [self._chain.output], domain=_MICROSOFT)
        self._nodes.append(node)

    def _model(self) -> ModelProto:
        chain = self._chain
        image = helper.make_tensor_value_info(chain.source, TensorProto.FLOAT, ["batch", 3, chain.side, chain.side])
        vector = helper.make_tensor_value_info(chain.output, TensorProto.FLOAT, ["batch", len(chain.bias)])
        graph = helper.make_graph(self._nodes, "int8", [image], [vector], self._weights)
        opsets = [helper.make_opsetid("", chain.opset), helper.make_opsetid(_MICROSOFT, 1)]
        version = helper.find_min_ir_version_for(opsets, ignore_unknown=True)
        return helper.make_model(graph, opset_imports=opsets, ir_version=version)

    def _add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add a node and return its only output."""
        output = f"{operator}.{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    def _weight(self, value: npt.NDArray[Any]) -> str:
        name = f"weight.{len(self._weights)}"
        self._weights.append(numpy_helper.from_array(np.array(value, order="C"), name))
        return name

    def _floats(self, value: npt.ArrayLike) -> str:
        return self._weight(np.asarray(value, np.float32))

    def _scale(self, scale: _Scale) -> tuple[str, str]:
        """Add step and zero of a tensor."""
        return self._floats(scale.step), self._weight(np.array(scale.zero, np.uint8))

    def _rows(self, whole: npt.NDArray[np.int8], step: npt.NDArray[np.float32]) -> tuple[str, str, str]:
        """Add weights, their steps and zeros."""
        return self._weight(whole), self._weight(step), self._weight(np.zeros(len(step), np.int8))
