"""Fitting a calibration to photos of people: the cosine that impostor pairs reach at a given rate.

A confidence stands for a false accept rate, FARS, the same for every model. The rate of a cosine is counted where there
are enough impostor pairs, and extrapolated from their tail where there are not. The tail is taken for a normal
distribution's: cosines of unrelated directions on a sphere are nearly normal, and of the distributions tried on 250
people of LFW (normal, generalised Pareto, exponential) it was the one that met the rates of all 1,000, with half the
spread of the second (docs/decisions/0014-calibration.md). Photos of one person make many pairs, which are not
independent; so errors come from leaving out people, not pairs.
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

import numpy as np
import numpy.typing as npt

from facesearch.evaluation.metrics import step_of
from facesearch.evaluation.pairs import STEPS, Counts, compare
from worker.models.calibration import Calibration

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

MIN_PEOPLE: Final = 100
MIN_IMPOSTOR_PAIRS: Final = 30_000
"""Fewest impostor pairs: the tail then has 600. One photo each of 246 people makes as many, or three each of 83."""

MIN_GENUINE_PAIRS: Final = 30
"""Fewest genuine pairs: with fewer it is unknown whether the model recognises people."""

GROUPS: Final = 20
"""Groups of people, each left out once to estimate how much a cosine depends on who is in the folder."""

_STEP: Final = 2 / STEPS
_TAIL_POINTS: Final = 20  # of the tail's line, evenly by the logarithm of the rate
_NORMAL: Final = NormalDist()


@dataclass(frozen=True)
class Level:
    """A point of a calibration.

    confidence, cosine: the point. far: the false accept rate it stands for. counted: whether the rate was counted; else
    it was extrapolated from the tail. error: standard error of the cosine. accepted, refused: parts of the impostor
    pairs that reach the cosine and of the genuine pairs that do not, in the folder itself.
    """

    confidence: int
    cosine: float
    far: float
    counted: bool
    error: float
    accepted: float
    refused: float


def shortage(people: Sequence[str]) -> str:
    """Return what photos of those people lack to fit a calibration, as a clause; empty if they suffice."""
    photos = np.array(list(Counter(people).values()), np.int64)
    genuine = int((photos * (photos - 1) // 2).sum())
    impostors = len(people) * (len(people) - 1) // 2 - genuine
    if len(photos) >= MIN_PEOPLE and impostors >= MIN_IMPOSTOR_PAIRS and genuine >= MIN_GENUINE_PAIRS:
        return ""
    return (
        f"there are faces of {len(photos)} people, {impostors:,} impostor pairs and {genuine} genuine pairs, "
        f"where {MIN_PEOPLE}, {MIN_IMPOSTOR_PAIRS:,} and {MIN_GENUINE_PAIRS} are needed: 250 people, two photos of 30 "
        "of them, are enough, a thousand are better"
    )


def fit(vectors: npt.ArrayLike, people: Sequence[str]) -> list[Level]:
    """Return the levels of FARS, with strictly rising cosines. vectors: (N, D), of length 1; people: who is on each
    photo.

    Raises ValueError if there are too few of them (`shortage`), and if impostors are too similar to fit a calibration.
    """
    if why := shortage(people):
        raise ValueError(why)
    pairs = compare(vectors, people)
    cosines = cosines_at(pairs.impostors_reaching)
    if cosines[-1] + _STEP >= SAME_IMAGE:
        raise ValueError("impostor pairs are as alike as two copies of one photo")
    errors = _errors(np.asarray(vectors, np.float64), people)
    return [
        Level(
            confidence,
            cosine,
            far,
            _is_counted(pairs.impostors_reaching, far),
            error,
            _part(pairs.impostors_reaching, cosine),
            1 - _part(pairs.genuine_reaching, cosine),
        )
        for (confidence, far), cosine, error in zip(FARS.items(), cosines, errors, strict=True)
    ]


def cosines_at(impostors: Counts) -> list[float]:
    """Return a cosine for each of FARS, a multiple of the step, strictly rising, above -1. impostors:
    Pairs.impostors_reaching.
    """
    tail = _tail(impostors)
    cosines: list[float] = []
    for far in FARS.values():
        wanted = _least(impostors, far) if _is_counted(impostors, far) else tail(far)
        least = (cosines[-1] if cosines else -1) + _STEP
        cosines.append(_cosine(math.ceil((max(wanted, least) + 1) / _STEP - 1e-6)))
    return cosines


def calibration(levels: Sequence[Level]) -> Calibration:
    """Return the calibration through the levels."""
    points = [(level.cosine, float(level.confidence)) for level in levels]
    highest = levels[-1].cosine
    beyond = round(highest + BEYOND * (SAME_IMAGE - highest), 4)
    return Calibration(((-1.0, 0.0), *points, (beyond, 99.0), (SAME_IMAGE, 100.0)))


def _errors(vectors: npt.NDArray[np.float64], people: Sequence[str]) -> list[float]:
    """Return standard errors of the cosines by a delete-a-group jackknife (J. Shao and D. Tu, The Jackknife and
    Bootstrap, 1995, 2.3), which holds for statistics of pairs, too.
    """
    apart = [cosines_at(impostors) for impostors in impostors_without_group(vectors, people)]
    return list(np.sqrt((GROUPS - 1) * np.var(apart, axis=0)).tolist())


def impostors_without_group(vectors: npt.NDArray[np.float64], people: Sequence[str]) -> Counts:
    """Return int64 (GROUPS, STEPS + 1): Pairs.impostors_reaching without each group of people, in one pass."""
    who = np.unique(np.asarray(people), return_inverse=True)[1]
    group = who % GROUPS
    # Pairs by the groups of both their people.
    counts = np.zeros((GROUPS, GROUPS, STEPS + 1), np.int64)
    for i in range(1, len(who)):
        impostors = who[:i] != who[i]
        steps = np.clip(np.floor((vectors[:i][impostors] @ vectors[i] + 1) / _STEP), 0, STEPS).astype(np.int64)
        np.add.at(counts[group[i]], (group[:i][impostors], steps), 1)
    within = counts[np.arange(GROUPS), np.arange(GROUPS)]
    without = counts.sum(axis=(0, 1)) - counts.sum(axis=0) - counts.sum(axis=1) + within
    return np.asarray(without[:, ::-1].cumsum(axis=1)[:, ::-1], np.int64)


def _part(reaching: Counts, cosine: float) -> float:
    """Return the part of all pairs that reach the cosine."""
    return float(reaching[step_of(cosine)] / reaching[0])


def _cosine(step: int) -> float:
    return round(step * _STEP - 1, 4)


def _is_counted(impostors: Counts, far: float) -> bool:
    return bool(far * impostors[0] >= COUNTED_PAIRS)


def _least(impostors: Counts, far: float) -> float:
    """Return the least cosine that at most that part of impostor pairs reach; 1 if there is none."""
    enough = impostors <= far * impostors[0]
    return _cosine(int(np.argmax(enough)) if enough.any() else STEPS)


def _tail(impostors: Counts) -> Callable[[float], float]:
    """Return a function from a false accept rate below TAIL to a cosine: a line through the cosines of rates that can
    be counted, over the standard normal quantile, weighted by the number of pairs.
    """
    rates = np.geomspace(MIN_TAIL_PAIRS / impostors[0], TAIL, _TAIL_POINTS)
    x, y = [_exceeded(rate) for rate in rates], [_least(impostors, rate) for rate in rates]
    slope, start = np.polyfit(x, y, 1, w=np.sqrt(rates))
    return lambda far: float(start + slope * _exceeded(far))


def _exceeded(rate: float) -> float:
    """Return the value that a standard normal variable exceeds at that rate."""
    return -_NORMAL.inv_cdf(rate)
