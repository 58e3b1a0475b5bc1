"""Cosines of false accept rates and false accept rates of cosines, from the number of impostor pairs that reach each
step of cosine.

A confidence stands for a false accept rate, FARS, the same for every model. The rate of a cosine is counted where there
are enough impostor pairs, and extrapolated from their tail where there are not. The tail is taken for a normal
distribution's: cosines of unrelated directions on a sphere are nearly normal, and of the distributions tried on 250
people of LFW (normal, generalised Pareto, exponential) it was the one that met the rates of all 1,000, with half the
spread of the second (docs/decisions/0014-calibration.md).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

import numpy as np
import numpy.typing as npt

from worker.models.calibration import Calibration

Counts = npt.NDArray[np.int64]

STEPS: Final = 20_000
"""Number of steps of 1e-4 in which cosines are counted."""

STEP: Final = 2 / STEPS

FARS: Final = {20: 0.53, 45: 0.12, 65: 0.013, 80: 1e-3, 90: 1e-4, 95: 1e-5, 97: 1e-6}
"""The false accept rate that each confidence stands for. The three lowest, by which no decision is made, are those of
SFace's first table."""

SAME_IMAGE: Final = 0.9999
"""Cosine of confidence 100: below 1 so that float16 engines give the same image 100."""

BEYOND: Final = 0.38
"""Position of confidence 99 between 97 and SAME_IMAGE, as in SFace's first table: no folder has enough pairs to measure
it."""

COUNTED_PAIRS: Final = 100
"""Impostor pairs beyond a cosine from which on their number is used as counted: a tenth of it is chance."""

TAIL: Final = 0.02
"""Part of all impostor pairs that is the tail. Half of it gives the same on LFW with a quarter more spread."""

MIN_TAIL_PAIRS: Final = 10
"""Pairs beyond a cosine that still describe the tail: the most similar impostors may be one mislabelled photo."""

_TAIL_POINTS: Final = 20  # of the tail's line, evenly by the logarithm of the rate
_NORMAL: Final = NormalDist()


@dataclass(frozen=True)
class Tail:
    """A line of cosines over the standard normal's quantiles of rates: cosine = start + slope * quantile."""

    start: float
    slope: float

    def cosine(self, rate: float) -> float:
        return self.start + self.slope * _exceeded(rate)

    def rate(self, cosine: float) -> float:
        if self.slope <= 0:  # all pairs have one cosine
            return float(cosine <= self.start)
        return _NORMAL.cdf((self.start - cosine) / self.slope)


def step_of(cosine: float) -> int:
    """Return the lowest step that is not below the cosine."""
    return min(STEPS, max(0, math.ceil((cosine + 1) / STEP - 1e-9)))


def tail(reaching: Counts, most: float = TAIL) -> Tail:
    """Return the tail: a line through the cosines of rates that can be counted, weighted by the number of pairs.

    reaching: int64 (STEPS + 1,), number of impostor pairs that reach each step. most: the highest of the rates.
    """
    rates = np.geomspace(MIN_TAIL_PAIRS / reaching[0], most, _TAIL_POINTS)
    x, y = [_exceeded(rate) for rate in rates], [_least(reaching, rate) for rate in rates]
    slope, start = np.polyfit(x, y, 1, w=np.sqrt(rates))
    return Tail(float(start), float(slope))


def is_counted(reaching: Counts, far: float) -> bool:
    """Return whether enough pairs are beyond the cosine of that rate to count them."""
    return bool(far * reaching[0] >= COUNTED_PAIRS)


def cosines_at(reaching: Counts, most: float = TAIL) -> list[float]:
    """Return a cosine for each of FARS, a multiple of the step, strictly rising, above -1. reaching, most: as of
    `tail`.
    """
    line = tail(reaching, most)
    cosines: list[float] = []
    for far in FARS.values():
        wanted = _least(reaching, far) if is_counted(reaching, far) else line.cosine(far)
        least = (cosines[-1] if cosines else -1) + STEP
        cosines.append(_cosine(math.ceil((max(wanted, least) + 1) / STEP - 1e-6)))
    return cosines


def calibration(cosines: Sequence[float]) -> Calibration:
    """Return the calibration through the cosines of FARS. Raises ValueError unless they rise strictly and stay below
    SAME_IMAGE.
    """
    points = [(cosine, float(confidence)) for cosine, confidence in zip(cosines, FARS, strict=True)]
    beyond = round(cosines[-1] + BEYOND * (SAME_IMAGE - cosines[-1]), 4)
    return Calibration(((-1.0, 0.0), *points, (beyond, 99.0), (SAME_IMAGE, 100.0)))


def _least(reaching: Counts, far: float) -> float:
    """Return the least cosine that at most that part of impostor pairs reach; 1 if there is none."""
    enough = reaching <= far * reaching[0]
    return _cosine(int(np.argmax(enough)) if enough.any() else STEPS)


def _cosine(step: int) -> float:
    return round(step * STEP - 1, 4)


def _exceeded(rate: float) -> float:
    """Return the value that a standard normal variable exceeds at that rate."""
    return -_NORMAL.inv_cdf(rate)
