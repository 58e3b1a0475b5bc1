"""Preparation of a published ONNX graph for ONNX Runtime on a CPU, without changing what it computes.

Weights become plain fp32 initialisers, shapes become dynamic; BatchNormalization, PRelu and small parallel convolutions
become operators that the runtime is fast at. Semantics of the operators: https://onnx.ai/onnx/operators/. A change of
the output raises a version in versions.py.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import ModelProto, NodeProto, helper, numpy_helper

from shared.errors import OperatorError
from worker.models.preparation.quantization import dequantize

Array = npt.NDArray[Any]


def prepare(model: ModelProto, *, dynamic_sides: bool) -> ModelProto:
    """Return a new model with the same outputs for any batch size and, with dynamic_sides, any height and width.

    Inputs must be NCHW. Raises OperatorError if the result is not a valid model.
    """
    graph = _Graph(model)
    graph.fold_constants()
    graph.fold_batch_norm()
    graph.rewrite_prelu()
    graph.merge_parallel()
    return checked(graph.build(dynamic_sides))


def checked(model: ModelProto) -> ModelProto:
    """Return the model. Raises OperatorError if it is not valid."""
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise OperatorError(f"cannot prepare the model: {' '.join(str(error).split())[:300]}") from error
    return model


def unpacked(model: ModelProto) -> ModelProto:
    """Return a new model with the same nodes for any batch size and every weight a plain fp32 initialiser."""
    graph = _Graph(model)
    graph.fold_constants()
    return graph.build(dynamic_sides=False)


def scale_and_shift(norm: NodeProto, weights: Sequence[Array]) -> tuple[Array, Array]:
    """Return the factor and the summand of each channel, float64, of a BatchNormalization with these weights."""
    gamma, beta, mean, variance = (weight.astype(np.float64) for weight in weights)
    scale = gamma / np.sqrt(variance + attribute(norm, "epsilon", 1e-5))
    return scale, beta - mean * scale


class _Graph:
    """A graph being rewritten: its nodes in order, and every tensor with a known value."""

    def __init__(self, model: ModelProto) -> None:
        self._model = model
        self._nodes = list(model.graph.node)
        self._values: dict[str, Array] = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
        self._outputs = [output.name for output in model.graph.output]

    def fold_constants(self) -> None:
        """Compute what depends on weights alone, and drop nodes without effect at inference (Dropout, Identity)."""
        kept = []
        same: dict[str, str] = {}
        for original in self._nodes:
            node = _renamed(original, same)
            if node.op_type in {"Dropout", "Identity"} and node.output[0] not in self._outputs:
                same[node.output[0]] = node.input[0]
            elif not self._fold(node):
                kept.append(node)
        self._nodes = kept

    def _fold(self, node: NodeProto) -> bool:
        """Compute the node's output if its inputs are known, and return whether they are."""
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            value = numpy_helper.to_array(node.attribute[0].t)
        elif node.op_type == "DequantizeLinear" and self._known(node):
            axis, block = attribute(node, "axis", 1), attribute(node, "block_size", 0)
            value = dequantize(*self._values_of(node.input), axis=axis, block=block)
        elif node.op_type == "Reshape" and self._known(node) and not attribute(node, "allowzero", 0):
            data, shape = self._values_of(node.input)
            value = data.reshape([data.shape[i] if side == 0 else side for i, side in enumerate(shape.tolist())])
        else:
            return False
        self._values[node.output[0]] = value
        return True

    def fold_batch_norm(self) -> None:
        """Fold each BatchNormalization into the Conv or Gemm before it, or replace it by a scale and a shift."""
        ranks = _ranks(self._model)
        uses = Counter(name for node in self._nodes for name in node.input) + Counter(self._outputs)
        kept: list[NodeProto] = []
        for node in self._nodes:
            if node.op_type != "BatchNormalization" or not all(name in self._values for name in node.input[1:]):
                kept.append(node)
                continue
            scale, shift = scale_and_shift(node, self._values_of(node.input[1:]))
            source = node.input[0]
            before = next((n for n in kept if source in n.output), None)
            if before is not None and uses[source] == 1 and self._foldable(before):
                kept[kept.index(before)] = self._scaled(before, scale, shift, node.output[0])
            elif source in ranks:
                kept += self._affine(source, scale, shift, node.output[0], ranks[source])
            else:
                kept.append(node)
        self._nodes = kept

    def _foldable(self, node: NodeProto) -> bool:
        if node.op_type == "Gemm" and (attribute(node, "alpha", 1.0), attribute(node, "beta", 1.0)) != (1.0, 1.0):
            return False
        return node.op_type in {"Conv", "Gemm"} and self._weighted(node)

    def _weighted(self, node: NodeProto) -> bool:
        """Return whether all inputs but the first are known."""
        return all(name in self._values for name in node.input[1:])

    def _scaled(self, node: NodeProto, scale: Array, shift: Array, output: str) -> NodeProto:
        """Return the Conv or Gemm with scale and shift of its output channels folded into its weights."""
        weight, *bias = self._values_of(node.input[1:])
        # Output channels are the first axis, except in a Gemm whose weight is not transposed.
        last = node.op_type == "Gemm" and not attribute(node, "transB", 0)
        factor = scale if last else scale.reshape(-1, *[1] * (weight.ndim - 1))
        old_bias = bias[0].astype(np.float64) if bias else 0.0
        weight_name = self._new(f"{output}.weight", weight * factor)
        bias_name = self._new(f"{output}.bias", old_bias * scale + shift)
        scaled = _copy(node)
        del scaled.input[1:], scaled.output[:]
        scaled.input.extend([weight_name, bias_name])
        scaled.output.append(output)
        return scaled

    def _affine(self, source: str, scale: Array, shift: Array, output: str, rank: int) -> list[NodeProto]:
        """Return nodes that scale and shift each channel: for images one depthwise convolution, which keeps the blocked
        layout.
        """
        if rank == 4:
            return [self._depthwise(source, scale, output, shift)]
        sides = [-1] + [1] * (rank - 2)
        by, plus = self._new(f"{output}.by", scale.reshape(sides)), self._new(f"{output}.plus", shift.reshape(sides))
        return [
            helper.make_node("Mul", [source, by], [f"{output}.scaled"]),
            helper.make_node("Add", [f"{output}.scaled", plus], [output]),
        ]

    def rewrite_prelu(self) -> None:
        """Replace each PRelu by x + (1 - a) relu(-x) with depthwise 1 x 1 convolutions.

        ONNX Runtime's PRelu is a slow generic broadcast that also breaks its blocked layout; without it SFace takes
        less than half the time (docs/decisions/0003-prepared-graphs.md). The runtime fuses the Relu into the first
        convolution and the Add into the second.
        """
        kept = []
        for node in self._nodes:
            slope = self._values.get(node.input[1]) if node.op_type == "PRelu" else None
            if slope is None or slope.ndim != 3 or slope.shape[1:] != (1, 1):
                kept.append(node)
                continue
            source, output = node.input[0], node.output[0]
            minus, below, part = (f"{output}.{name}" for name in ("minus", "below", "part"))
            kept += [
                self._depthwise(source, np.full(len(slope), -1.0), minus),
                helper.make_node("Relu", [minus], [below]),
                self._depthwise(below, 1 - slope.reshape(-1).astype(np.float64), part),
                helper.make_node("Add", [part, source], [output]),
            ]
        self._nodes = kept

    def merge_parallel(self) -> None:
        """Merge pairs of a convolution and a depthwise one that start from one tensor into one pair, and split its
        output.

        ONNX Runtime works on blocks of 16 channels, so that YuNet's four heads at each stride, of 1, 4, 1 and 10
        channels, cost as much as 64 channels; together they are 16.
        """
        readers: dict[str, list[NodeProto]] = defaultdict(list)
        for node in self._nodes:
            for name in node.input:
                readers[name].append(node)
        alike: dict[Any, list[tuple[NodeProto, NodeProto]]] = defaultdict(list)
        for node in self._nodes:
            after = readers[node.output[0]]
            if len(after) == 1 and node.output[0] not in self._outputs and self._begins_pair(node, after[0]):
                alike[node.input[0], self._merge_key(node), self._merge_key(after[0])].append((node, after[0]))
        merged = {pairs[0][0].output[0]: pairs for pairs in alike.values() if len(pairs) > 1}
        gone = {node.output[0] for pairs in merged.values() for pair in pairs for node in pair}
        kept = []
        for node in self._nodes:
            if node.output[0] in merged:
                kept += self._merged(merged[node.output[0]])
            elif node.output[0] not in gone:
                kept.append(node)
        self._nodes = kept

    def _begins_pair(self, node: NodeProto, after: NodeProto) -> bool:
        """Return whether node is a plain convolution and `after` a depthwise one, both with known weights and
        biases.
        """
        if not all(n.op_type == "Conv" and len(n.input) == 3 and self._weighted(n) for n in (node, after)):
            return False
        channels = len(self._values[node.input[1]])
        groups = [attribute(n, "group", 1) for n in (node, after)]
        return groups == [1, channels] and self._values[after.input[1]].shape[:2] == (channels, 1)

    def _merge_key(self, node: NodeProto) -> object:
        """Return a key that is equal for convolutions that differ only in weights, number of outputs and groups."""
        attributes = {a.SerializeToString(deterministic=True) for a in node.attribute if a.name != "group"}
        return self._values[node.input[1]].shape[1:], frozenset(attributes)

    def _merged(self, pairs: Sequence[tuple[NodeProto, NodeProto]]) -> list[NodeProto]:
        """Return one pair in place of several, and the node that splits its output into theirs."""
        plain, depthwise = zip(*pairs, strict=True)
        sizes = [len(self._values[node.input[1]]) for node in depthwise]
        outputs = [node.output[0] for node in depthwise]
        before, after = f"{outputs[0]}.before", f"{outputs[0]}.all"
        return [
            self._side_by_side(plain, plain[0].input[0], before, group=1),
            self._side_by_side(depthwise, before, after, group=sum(sizes)),
            self._split(after, outputs, sizes),
        ]

    def _side_by_side(self, nodes: Sequence[NodeProto], source: str, output: str, group: int) -> NodeProto:
        """Return one convolution with the outputs of several similar ones."""
        weights, biases = zip(*(self._values_of(node.input[1:]) for node in nodes), strict=True)
        weight = self._new(f"{output}.weight", np.concatenate(weights))
        bias = self._new(f"{output}.bias", np.concatenate(biases))
        attributes = {a.name: helper.get_attribute_value(a) for a in nodes[0].attribute} | {"group": group}
        return helper.make_node("Conv", [source, weight, bias], [output], **attributes)

    def _split(self, source: str, outputs: Sequence[str], sizes: Sequence[int]) -> NodeProto:
        """Return a node that splits the channels of source into parts of those sizes."""
        if opset_of(self._model) < 13:
            return helper.make_node("Split", [source], outputs, axis=1, split=sizes)
        name = self._new(f"{source}.sizes", np.array(sizes, np.int64))
        return helper.make_node("Split", [source, name], outputs, axis=1)

    def build(self, dynamic_sides: bool) -> ModelProto:
        """Return the graph as a model, with only the weights that are used, none of them an input."""
        nodes = [self._any_batch(node) for node in self._nodes]
        used = {name for node in nodes for name in node.input} | set(self._outputs)
        weights = [
            numpy_helper.from_array(np.asarray(value, order="C"), name)
            for name, value in self._values.items()
            if name in used
        ]
        # Files list weights as inputs, and quantised ones even the weights they replaced.
        free = used - {tensor.name for tensor in self._model.graph.initializer}
        inputs = [_dynamic(v, 2 if dynamic_sides else 0) for v in self._model.graph.input if v.name in free]
        # With other sides every size of an output may change; only its number of axes stays.
        outputs = [_dynamic(v, 9 if dynamic_sides else 0) for v in self._model.graph.output]
        graph = helper.make_graph(nodes, self._model.graph.name or "prepared", inputs, outputs, weights)
        # Weights that are not inputs need IR version 4; newer operator sets need newer ones.
        version = max(
            4, self._model.ir_version, helper.find_min_ir_version_for(self._model.opset_import, ignore_unknown=True)
        )
        return helper.make_model(graph, opset_imports=self._model.opset_import, ir_version=version)

    def _any_batch(self, node: NodeProto) -> NodeProto:
        """Return a Reshape for any batch size: (1, -1, ...) fixes a batch of one, 0 instead keeps that of the input."""
        shape = self._values.get(node.input[1]) if node.op_type == "Reshape" else None
        if shape is None or len(shape) < 2 or shape[0] != 1 or attribute(node, "allowzero", 0):
            return node
        return _renamed(
            node, {node.input[1]: self._new(f"{node.output[0]}.shape", np.array([0, *shape[1:]], np.int64))}
        )

    def _depthwise(self, source: str, scale: Array, output: str, shift: Array | None = None) -> NodeProto:
        """Return a 1 x 1 convolution that scales, and shifts, each channel by itself."""
        inputs = [source, self._new(f"{output}.weight", scale.reshape(-1, 1, 1, 1))]
        if shift is not None:
            inputs.append(self._new(f"{output}.bias", shift))
        return helper.make_node("Conv", inputs, [output], group=len(scale), kernel_shape=[1, 1])

    def _new(self, name: str, value: Array) -> str:
        """Add a weight, floats as fp32, and return its name."""
        self._values[name] = value.astype(np.float32) if value.dtype.kind == "f" else value
        return name

    def _known(self, node: NodeProto) -> bool:
        return all(name in self._values for name in node.input if name)

    def _values_of(self, names: Iterable[str]) -> list[Array]:
        """Return the values of the named inputs (optional ones may have no name); all must be known."""
        return [self._values[name] for name in names if name]


def _ranks(model: ModelProto) -> dict[str, int]:
    """Return the number of axes of every tensor that shape inference knows."""
    inferred = onnx.shape_inference.infer_shapes(model).graph
    return {
        v.name: len(v.type.tensor_type.shape.dim) for v in (*inferred.input, *inferred.value_info, *inferred.output)
    }


def _dynamic(value: onnx.ValueInfoProto, sides: int) -> onnx.ValueInfoProto:
    """Return the input or output with a free batch, and the last `sides` of its other axes free."""
    dims = value.type.tensor_type.shape.dim
    shape: list[int | str] = [d.dim_value or d.dim_param for d in dims]
    shape[0] = "batch"
    for i in range(max(1, len(shape) - sides), len(shape)):
        shape[i] = f"{value.name}_{i}"
    return helper.make_tensor_value_info(value.name, value.type.tensor_type.elem_type, shape)


def opset_of(model: ModelProto) -> int:
    """Return the version of the standard operators."""
    return next((entry.version for entry in model.opset_import if entry.domain in {"", "ai.onnx"}), 1)


def attribute(node: NodeProto, name: str, default: Any) -> Any:
    """Return an attribute of a node, or the default if it has none."""
    found = (helper.get_attribute_value(a) for a in node.attribute if a.name == name)
    return next(found, default)


def _copy(node: NodeProto) -> NodeProto:
    copy = NodeProto()
    copy.CopyFrom(node)
    return copy


def _renamed(node: NodeProto, names: dict[str, str]) -> NodeProto:
    """Return the node with renamed inputs."""
    copy = _copy(node)
    copy.input[:] = [names.get(name, name) for name in node.input]
    return copy
