"""Quantised weights back to floats. Pure."""

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def dequantize(quantized: Array, scale: Array, zero: Array | None = None, *, axis: int = 1, block: int = 0) -> Array:
    """(quantized - zero) * scale in float32, as the operator DequantizeLinear (opset 21).

    scale, zero: one value; or one for each index along axis; or, with block > 0, one for each block of so many along
    axis (the last may be shorter), of quantized's shape in the other axes.
    """
    if block:
        length = quantized.shape[axis]
        scale = _spread(scale, length, axis, block)
        zero = None if zero is None else _spread(zero, length, axis, block)
    elif scale.ndim == 1 and scale.size > 1:
        sides = [-1 if i == axis % quantized.ndim else 1 for i in range(quantized.ndim)]
        scale, zero = scale.reshape(sides), None if zero is None else zero.reshape(sides)
    # Differences of 8-bit integers are exact in int32, so the one rounding is the product's, as in the runtimes.
    whole = quantized.astype(np.int32) - (0 if zero is None else zero.astype(np.int32))
    return np.asarray(whole.astype(np.float32) * scale.astype(np.float32))


def _spread(values: Array, length: int, axis: int, block: int) -> Array:
    """Each value once for every member of its block, cut to length."""
    return np.repeat(values, block, axis=axis).take(range(length), axis=axis)
