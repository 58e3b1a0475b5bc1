"""Calibration: from cosine similarity to the contract's confidence, piecewise linear and strictly rising, per model."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

Point = tuple[float, float]


@dataclass(frozen=True)
class Calibration:
    """Points of (cosine in [-1, 1], confidence in [0, 100]), both strictly rising, from (-1, 0) to (_, 100).

    Raises ValueError for any other points: a scale that falls or stays level has no inverse, and matches would be
    ordered differently by cosine and by confidence.
    """

    points: tuple[Point, ...]

    def __post_init__(self) -> None:
        if len(self.points) < 2 or self.points[0] != (-1, 0) or self.points[-1][1] != 100 or self.points[-1][0] > 1:
            raise ValueError("a calibration runs from (-1, 0) to a cosine of at most 1 with confidence 100")
        # Written so that NaN fails.
        if not all(a[0] < b[0] and a[1] < b[1] for a, b in pairwise(self.points)):
            raise ValueError("the points of a calibration must rise strictly in cosine and in confidence")

    def confidence(self, cosine: float) -> float:
        """Return the confidence in [0, 100]. A cosine outside [-1, 1] by a rounding error counts as the end. Raises
        ValueError on NaN.
        """
        return _interpolate(self.points, cosine)

    def cosine(self, confidence: float) -> float:
        """Return the smallest cosine that reaches the confidence: confidence(result) >= confidence always holds.

        Every cosine reaches a confidence below 0, so -1; none reaches one above 100. Raises ValueError for that, and on
        NaN.
        """
        if confidence > 100:
            raise ValueError(f"confidence {confidence} is above 100")
        low = _interpolate([(y, x) for x, y in self.points], confidence)
        if self.confidence(low) >= confidence:
            return low
        # The inverse may lose a last digit, and a search threshold must not lose the match that sits on it. Bisection,
        # because around zero, where floats are dense, that digit is billions of steps away.
        high = next(x for x, y in self.points if y >= confidence)
        while low < (middle := (low + high) / 2) < high:
            low, high = (low, middle) if self.confidence(middle) >= confidence else (middle, high)
        return high


def _interpolate(points: Sequence[Point], x: float) -> float:
    """Return the y at x on the line through the points, clamped to both ends. Raises ValueError on NaN."""
    if math.isnan(x):
        raise ValueError("not a number")
    if x <= points[0][0]:
        return points[0][1]
    for (x0, y0), (x1, y1) in pairwise(points):
        if x < x1:
            return y0 + (y1 - y0) * ((x - x0) / (x1 - x0))
    return points[-1][1]


SFACE = Calibration(
    # Measured on impostor pairs of LFW (docs/decisions/0014-calibration.md): 80 accepts at most 1 in 1,000, 90 1 in
    # 10,000, 95 1 in 100,000, 97 about 1 in 1,000,000. The last point is below 1 so that float16 engines give the same
    # image 100.
    (
        (-1, 0),
        (0.09, 20),
        (0.20, 45),
        (0.29, 65),
        (0.37, 80),
        (0.421, 90),
        (0.47, 95),
        (0.515, 97),
        (0.70, 99),
        (0.9999, 100),
    )
)
"""SFace 2021dec: in fp32, with block-quantised weights, and in 8 bits (docs/decisions/0010-int8.md)."""
