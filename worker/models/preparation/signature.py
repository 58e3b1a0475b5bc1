"""Input and output of an embedder's file, read before it is prepared."""

from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx import TensorProto, ValueInfoProto

from shared.errors import OperatorError


@dataclass(frozen=True)
class Signature:
    """Input and output of a file. side: of the square crop in pixels; dimension: of the embedding; each None where the
    file leaves it open.
    """

    side: int | None
    dimension: int | None


def read_signature(path: Path) -> Signature:
    """Return the signature of a file. Raises OperatorError unless it is an ONNX model with one image (N, 3, side, side)
    in and one vector (N, dimension) out, both of 32-bit floats, and all its weights inside.
    """
    try:
        graph = onnx.load_model(path, load_external_data=False).graph
    except OSError as error:
        raise OperatorError(f"cannot read {path}: {error.strerror}") from error
    except Exception as error:  # protobuf's, which is not ours to import
        raise OperatorError(f"{path} is no ONNX model") from error
    if any(tensor.data_location == TensorProto.EXTERNAL for tensor in graph.initializer):
        raise OperatorError(f"{path} has weights in other files; save the model with all of them inside")
    # Old files list weights as inputs, and quantised ones even the weights they replaced, which nothing reads.
    free = {name for node in graph.node for name in node.input} - {tensor.name for tensor in graph.initializer}
    image = _only(path, "input", [value for value in graph.input if value.name in free])
    vector = _only(path, "output", list(graph.output))
    return Signature(_side(path, _sizes(image)), _dimension(path, _sizes(vector)))


def _only(path: Path, kind: str, values: list[ValueInfoProto]) -> ValueInfoProto:
    if len(values) != 1:
        names = ", ".join(value.name for value in values) or "none"
        raise OperatorError(f"{path} has {len(values)} {kind}s ({names}) where one is needed")
    tensor = values[0].type.tensor_type
    if tensor.elem_type != TensorProto.FLOAT:
        name = TensorProto.DataType.Name(tensor.elem_type)
        raise OperatorError(f"the {kind} {values[0].name} of {path} is of type {name} where FLOAT is needed")
    return values[0]


def _sizes(value: ValueInfoProto) -> list[int] | None:
    """Return the size of each axis, 0 where it is open; None where not even their number is given."""
    tensor = value.type.tensor_type
    return [axis.dim_value for axis in tensor.shape.dim] if tensor.HasField("shape") else None


def _side(path: Path, sizes: list[int] | None) -> int | None:
    if sizes is None or len(sizes) != 4:
        raise OperatorError(f"{path} takes {_shape(sizes)} where an image (N, 3, side, side) is needed")
    if sizes[1] not in {0, 3}:
        hint = "; export it with channels first" if sizes[3] == 3 else ""
        raise OperatorError(f"{path} takes {_shape(sizes)} where an image (N, 3, side, side) is needed{hint}")
    sides = {side for side in sizes[2:] if side}
    if len(sides) > 1:
        raise OperatorError(f"{path} takes images of {sizes[3]} x {sizes[2]} pixels where square ones are needed")
    return next(iter(sides), None)


def _dimension(path: Path, sizes: list[int] | None) -> int | None:
    if sizes is None:
        return None
    if len(sizes) != 2:
        raise OperatorError(f"{path} gives {_shape(sizes)} where vectors (N, dimension) are needed")
    return sizes[1] or None


def _shape(sizes: list[int] | None) -> str:
    return "a tensor of any shape" if sizes is None else f"({', '.join(str(size or '?') for size in sizes)})"
