"""Dequantisation of weights, and quantisation to 8 bits."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

_MOST: Final = 127
_LEAST: Final = 1e-30


def dequantize(quantized: Array, scale: Array, zero: Array | None = None, *, axis: int = 1, block: int = 0) -> Array:
    """Return (quantized - zero) * scale in float32, as the operator DequantizeLinear (opset 21).

    scale, zero: one value; or one for each index along axis; or, with block > 0, one for each block of that many
    indices along axis (the last may be shorter), of quantized's shape in the other axes.
    """
    if block:
        length = quantized.shape[axis]
        scale = _spread(scale, length, axis, block)
        zero = None if zero is None else _spread(zero, length, axis, block)
    elif scale.ndim == 1 and scale.size > 1:
        sides = [-1 if i == axis % quantized.ndim else 1 for i in range(quantized.ndim)]
        scale, zero = scale.reshape(sides), None if zero is None else zero.reshape(sides)
    # Differences of 8-bit integers are exact in int32, so only the product is rounded, as in the runtimes.
    whole = quantized.astype(np.int32) - (0 if zero is None else zero.astype(np.int32))
    return np.asarray(whole.astype(np.float32) * scale.astype(np.float32))


def _spread(values: Array, length: int, axis: int, block: int) -> Array:
    """Return each value once for every member of its block, cut to length."""
    return np.repeat(values, block, axis=axis).take(range(length), axis=axis)


def quantize_rows(weight: Array, least: Array | float = 0) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """Return the weight as int8 in -127..127 of its shape, and a scale of at least `least` for each row (first axis).

    Sums of two neighbours in a row, times an activation of 255, stay within 16 bits: byte multiplication on x86 without
    VNNI (vpmaddubsw) adds two such products and saturates. Weights of 7 bits would do too (`reduce_range` in ONNX
    Runtime's own tools) and be half as exact; large neighbours of one sign are rare, so that here SFace's are a sixth
    less exact.
    """
    rows = weight.reshape(len(weight), -1)
    largest = np.abs(rows).max(axis=1)
    if rows.shape[1] % 2 == 0:
        pairs = rows.reshape(len(rows), -1, 2)
        for sign in (1, -1):
            # Each may be rounded up by a half: 127 becomes 128, and 255 times that is 32,640.
            largest = np.maximum(largest, (sign * pairs).clip(0).sum(axis=2).max(axis=1))
    scale = np.maximum(largest / _MOST, least)
    # All zero, or too small for float32.
    scale = np.where(scale > _LEAST, scale, 1.0)
    whole = np.rint(rows / scale[:, None]).reshape(weight.shape)
    return whole.astype(np.int8), scale.astype(np.float32)
