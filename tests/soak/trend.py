"""A straight line through what was measured over time, and how sure its slope is. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

HOUR_S: Final = 3600.0

SURE: Final = 3.0
"""Standard errors between a slope and what it is said to exceed: by chance in one of 700."""

MOST_ALIKE: Final = 0.99
"""Correlation of neighbours beyond which their number would tell nothing: it is then a step, and no line."""


@dataclass(frozen=True)
class Trend:
    """first, last: of the line, at both ends. per_h: its slope. error: standard error of the slope, per hour. hours:
    from end to end.
    """

    first: float
    last: float
    per_h: float
    error: float
    hours: float

    def exceeds(self, per_h: float, amount: float) -> bool:
        """Whether it surely rises faster than that, and has risen by more than the amount."""
        return self.per_h - SURE * self.error > per_h and self.last - self.first > amount


def trend(seconds: Sequence[float], values: Sequence[float]) -> Trend:
    """Least squares. Neighbours that err alike count as fewer (an autoregression of first order), since memory goes up
    and down in steps and not at random.

    Raises ValueError for fewer than three measurements, or none that are apart in time.
    """
    count = len(seconds)
    if count < 3 or count != len(values):
        raise ValueError("a trend needs three measurements")
    middle, mean = sum(seconds) / count, sum(values) / count
    spread = sum((at - middle) ** 2 for at in seconds)
    if not spread:
        raise ValueError("a trend needs measurements at different times")
    slope = sum((at - middle) * (value - mean) for at, value in zip(seconds, values, strict=True)) / spread
    rest = [value - mean - slope * (at - middle) for at, value in zip(seconds, values, strict=True)]
    error = math.sqrt(sum(one * one for one in rest) / (count - 2) / spread) * _stretch(rest)
    begin, end = min(seconds), max(seconds)
    return Trend(
        first=mean + slope * (begin - middle),
        last=mean + slope * (end - middle),
        per_h=slope * HOUR_S,
        error=error * HOUR_S,
        hours=(end - begin) / HOUR_S,
    )


def _stretch(rest: Sequence[float]) -> float:
    """By how much errors that resemble their neighbours make the standard error larger."""
    total = sum(one * one for one in rest)
    if not total:
        return 1.0
    alike = sum(one * other for one, other in pairwise(rest)) / total
    alike = min(max(alike, 0.0), MOST_ALIKE)
    return math.sqrt((1 + alike) / (1 - alike))
