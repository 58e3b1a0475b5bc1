"""A straight line through measurements over time, and the standard error of its slope."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

HOUR_S: Final = 3600.0

SURE: Final = 3.0
"""Standard errors by which a slope must exceed a limit; by chance it does once in 700 times."""

MOST_ALIKE: Final = 0.99
"""The largest correlation assumed between neighbouring residuals: measurements with more form a step, not a line."""


@dataclass(frozen=True)
class Trend:
    """A fitted line. first, last: its values at both ends. per_h: its slope. error: standard error of the slope, per
    hour. hours: duration.
    """

    first: float
    last: float
    per_h: float
    error: float
    hours: float

    def exceeds(self, per_h: float, amount: float) -> bool:
        """Return whether it rises significantly faster than `per_h` and has risen by more than `amount`."""
        return self.per_h - SURE * self.error > per_h and self.last - self.first > amount


def trend(seconds: Sequence[float], values: Sequence[float]) -> Trend:
    """Fit a line by least squares. Correlated neighbouring residuals increase the standard error (a first-order
    autoregression), since memory moves in steps and not at random.

    Raises ValueError for fewer than three measurements, or if all have the same time.
    """
    if len(seconds) < 3 or len(seconds) != len(values):
        raise ValueError("a trend needs three measurements")
    begin, end = min(seconds), max(seconds)
    if begin == end:
        raise ValueError("a trend needs measurements at different times")
    line, covariance = np.polyfit(seconds, values, 1, cov=True)
    residuals = np.asarray(values) - np.polyval(line, seconds)
    first, last = np.polyval(line, [begin, end])
    return Trend(
        first=float(first),
        last=float(last),
        per_h=float(line[0]) * HOUR_S,
        error=math.sqrt(covariance[0, 0]) * _inflation(residuals) * HOUR_S,
        hours=(end - begin) / HOUR_S,
    )


def _inflation(residuals: npt.NDArray[np.float64]) -> float:
    """Return the factor by which correlated neighbouring residuals increase the standard error."""
    total = residuals @ residuals
    if not total:
        return 1.0
    correlation = min(max(float(residuals[:-1] @ residuals[1:] / total), 0.0), MOST_ALIKE)
    return math.sqrt((1 + correlation) / (1 - correlation))
