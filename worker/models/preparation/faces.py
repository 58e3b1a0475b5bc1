"""YuNet's outputs, decoded inside its graph: what it says of each cell becomes a face in pixels.

Decoding as in OpenCV's modules/objdetect/src/face_detect.cpp. Cells are those of stride 8, then 16, then 32, each row
by row. Strides are powers of two, so that a factor of one rounds nothing.
"""

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from shared.errors import OperatorError
from worker.models.preparation.graph import attribute, opset_of

STRIDES: Final = (8, 16, 32)

FACES: Final = "faces"
"""Name of the output: float32 (batch, 15, cells), for each cell x, y, width and height of a box and x and y of five
landmarks, in pixels, and a score in [0, 1]."""

MOST_CELLS: Final = 2048
"""Most cells of an input's side: 16,384 pixels at the finest stride."""

_KINDS: Final = ("cls", "obj", "bbox", "kps")


class _Heads(NamedTuple):
    """What a graph computes at a stride. source: its tensor (batch, 16, height, width). order: the kinds in it."""

    source: str
    order: tuple[str, ...]


def decode_faces(model: ModelProto) -> ModelProto:
    """Return a new model with the one output FACES. model: a prepared YuNet with outputs cls_s, obj_s, bbox_s and kps_s
    for each stride s, which come from one tensor a stride.

    The score is the geometric mean of class and objectness. Raises OperatorError for a graph of another kind.
    """
    heads = [_heads(model, stride) for stride in STRIDES]
    if len({each.order for each in heads}) > 1:
        raise _no_yunet("its strides differ")
    made = ModelProto()
    made.CopyFrom(model)
    _Writer(made).write(heads)
    _drop_unused(made)
    return made


class _Writer:
    """Adds nodes to a graph. Weights and tensors are named after the output."""

    def __init__(self, model: ModelProto) -> None:
        self._graph = model.graph
        self._opset = opset_of(model)

    def write(self, heads: list[_Heads]) -> None:
        """Replace the outputs."""
        order = heads[0].order
        flat = [self._add("Reshape", each.source, self._whole([0, 16, -1])) for each in heads]
        cells = self._add("Concat", *flat, axis=2)
        # A box is the place of its centre and the logarithms of its sides.
        sizes = {"cls": [1], "obj": [1], "bbox": [2, 2], "kps": [10]}
        parts = iter(self._split(cells, [size for kind in order for size in sizes[kind]]))
        found = {kind: [next(parts) for _ in sizes[kind]] for kind in order}
        grids = [self._grid(each.source, stride) for each, stride in zip(heads, STRIDES, strict=True)]
        corner, step = self._split(self._add("Concat", *grids, axis=2), [2, 1])

        place, logarithms = found["bbox"]
        centre = self._add("Add", self._add("Mul", place, step), corner)
        size = self._add("Mul", self._add("Exp", logarithms), step)
        box = self._add("Sub", centre, self._add("Mul", size, self._floats(0.5)))
        points = self._add("Mul", *found["kps"], step)
        landmarks = self._add("Add", points, self._add("Concat", *[corner] * 5, axis=1))
        classes, objects = (self._add("Sigmoid", *found[kind]) for kind in ("cls", "obj"))
        score = self._add("Sqrt", self._add("Mul", classes, objects))
        self._graph.node.append(helper.make_node("Concat", [box, size, landmarks, score], [FACES], axis=1))
        self._graph.ClearField("output")
        self._graph.output.append(helper.make_tensor_value_info(FACES, TensorProto.FLOAT, ["batch", 15, "cells"]))

    def _grid(self, source: str, stride: int) -> str:
        """Return float32 (1, 3, cells): x and y of each cell's corner in pixels, and the stride."""
        along, none = np.arange(MOST_CELLS) * stride, np.zeros(MOST_CELLS)
        columns = self._floats(np.stack([along, none, np.full(MOST_CELLS, stride)])[None, :, None, :])
        rows = self._floats(np.stack([none, along, none])[None, :, :, None])
        first, shape = self._whole([0]), self._add("Shape", source)
        height, width = (
            self._add("Slice", shape, self._whole([axis]), self._whole([axis + 1]), first) for axis in (2, 3)
        )
        columns = self._add("Slice", columns, first, width, self._whole([3]))
        rows = self._add("Slice", rows, first, height, self._whole([2]))
        return self._add("Reshape", self._add("Add", columns, rows), self._whole([1, 3, -1]))

    def _split(self, source: str, sizes: list[int]) -> list[str]:
        """Return the parts of source along axis 1."""
        outputs = [self._name() + f".{number}" for number in range(len(sizes))]
        if self._opset < 13:
            self._graph.node.append(helper.make_node("Split", [source], outputs, axis=1, split=sizes))
        else:
            self._graph.node.append(helper.make_node("Split", [source, self._whole(sizes)], outputs, axis=1))
        return outputs

    def _add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add a node and return its only output."""
        output = self._name()
        self._graph.node.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    def _name(self) -> str:
        return f"{FACES}.{len(self._graph.node)}"

    def _floats(self, value: npt.ArrayLike) -> str:
        return self._weight(np.asarray(value, np.float32))

    def _whole(self, value: list[int]) -> str:
        return self._weight(np.array(value, np.int64))

    def _weight(self, value: npt.NDArray[Any]) -> str:
        name = f"{FACES}.weight.{len(self._graph.initializer)}"
        self._graph.initializer.append(numpy_helper.from_array(value, name))
        return name


def _heads(model: ModelProto, stride: int) -> _Heads:
    """Return what the outputs of a stride come from: one Split of a tensor's channels."""
    made = {output: node for node in model.graph.node for output in node.output}
    sources, order = set(), {}
    for kind in _KINDS:
        name = f"{kind}_{stride}"
        for operator in (*(["Sigmoid"] if kind in {"cls", "obj"} else []), "Reshape", "Transpose"):
            node = _made_by(made, name, operator)
            name = node.input[0]
        if list(attribute(node, "perm", [])) != [0, 2, 3, 1]:
            raise _no_yunet(f"{kind}_{stride} has its cells in another order")
        split = _made_by(made, name, "Split")
        order[list(split.output).index(name)] = kind
        sources.add(split.input[0])
    if len(sources) > 1 or len(order) < len(_KINDS):
        raise _no_yunet(f"the outputs of stride {stride} come from several tensors")
    return _Heads(sources.pop(), tuple(order[place] for place in sorted(order)))


def _made_by(made: dict[str, NodeProto], name: str, operator: str) -> NodeProto:
    if name not in made or made[name].op_type != operator:
        raise _no_yunet(f"{name} comes from no {operator}")
    return made[name]


def _drop_unused(model: ModelProto) -> None:
    """Drop nodes and weights that no output depends on."""
    needed = {output.name for output in model.graph.output}
    kept = []
    for node in reversed(model.graph.node):
        if needed.intersection(node.output):
            needed.update(node.input)
            kept.append(node)
    weights = [weight for weight in model.graph.initializer if weight.name in needed]
    model.graph.ClearField("node")
    model.graph.node.extend(reversed(kept))
    model.graph.ClearField("initializer")
    model.graph.initializer.extend(weights)


def _no_yunet(found: str) -> OperatorError:
    return OperatorError(f"cannot prepare the detector: its graph is none of the kind that is known, {found}")
