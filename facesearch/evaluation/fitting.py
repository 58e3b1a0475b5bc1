"""A calibration made from photos of people: which cosine strangers reach how rarely. Pure.

A confidence stands for a false accept rate, FARS, the same for every model. How rare a cosine is among strangers is
counted where there are enough pairs of them, and told from their tail where there are not. The tail is taken for a
normal distribution's: cosines of unrelated directions on a sphere are nearly normal, and of what was tried on LFW with
250 of its people (normal, generalised Pareto, exponential) it was the one that met the rates of all 1,000, with half
the spread of the second (docs/decisions/0014-calibration.md). Photos of one person make many pairs, which are no
independent draws; so errors are those of leaving out people, not pairs.
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
"""What a confidence means: the part of all pairs of strangers that reach it. The three lowest, which nobody decides by,
are those of SFace's first table."""

SAME_IMAGE: Final = 0.9999
"""The cosine from which on the confidence is 100: below 1 so that float16 engines give the same image 100."""

BEYOND: Final = 0.38
"""Where 99 lies between 97 and SAME_IMAGE. No folder has the pairs that would tell; as in SFace's first table."""

COUNTED_PAIRS: Final = 100
"""Pairs of strangers beyond a cosine from which on their number is taken as it is: a tenth of it is chance."""

TAIL: Final = 0.02
"""The part of all pairs that is the tail. Of LFW half of it gives the same with a quarter more spread."""

TAIL_FEWEST: Final = 10
"""Pairs beyond a cosine that still say something of the tail: the most alike strangers may be one mislabelled photo."""

FEWEST_PEOPLE: Final = 100
FEWEST_STRANGERS: Final = 30_000
"""Pairs: the tail then has 600. One photo each of 246 people makes as many, or three each of 83."""

FEWEST_GENUINE: Final = 30
"""Pairs of one person: with fewer there is no telling whether the model knows anybody again."""

GROUPS: Final = 20
"""Of people, each left out in turn to learn how much a cosine owes to who is in the folder."""

_STEP: Final = 2 / STEPS
_TAIL_POINTS: Final = 20  # through which the tail's line goes, evenly by the logarithm of the rate
_NORMAL: Final = NormalDist()


@dataclass(frozen=True)
class Level:
    """A point of a calibration.

    confidence, cosine: the point. far: the false accept rate it stands for. counted: whether it was; else it
    was told from the tail. error: standard error of the cosine. accepted, refused: parts of the pairs of strangers
    and of one person, in the folder itself, that reach the cosine and that do not.
    """

    confidence: int
    cosine: float
    far: float
    counted: bool
    error: float
    accepted: float
    refused: float


def lacking(people: Sequence[str]) -> str:
    """What photos of those people lack to fit a calibration, a clause; empty when they are enough."""
    photos = np.array(list(Counter(people).values()), np.int64)
    genuine = int((photos * (photos - 1) // 2).sum())
    strangers = len(people) * (len(people) - 1) // 2 - genuine
    if len(photos) >= FEWEST_PEOPLE and strangers >= FEWEST_STRANGERS and genuine >= FEWEST_GENUINE:
        return ""
    return (
        f"there are faces of {len(photos)} people, {strangers:,} pairs of strangers and {genuine} pairs of one person, "
        f"where {FEWEST_PEOPLE}, {FEWEST_STRANGERS:,} and {FEWEST_GENUINE} are needed: 250 people, two photos of 30 of "
        "them, are enough, a thousand are better"
    )


def fit(vectors: npt.ArrayLike, people: Sequence[str]) -> list[Level]:
    """The levels of FARS, cosines rising strictly. vectors: (N, D), of length 1; people: who is on each of the photos.

    Raises ValueError when there are not enough of them (`lacking`), and when strangers are so alike that no calibration
    can be made.
    """
    if why := lacking(people):
        raise ValueError(why)
    pairs = compare(vectors, people)
    cosines = cosines_at(pairs.strangers_reaching)
    if cosines[-1] + _STEP >= SAME_IMAGE:
        raise ValueError("strangers are as alike as two copies of one photo")
    errors = _errors(np.asarray(vectors, np.float64), people)
    return [
        Level(
            confidence,
            cosine,
            far,
            _is_counted(pairs.strangers_reaching, far),
            error,
            _part(pairs.strangers_reaching, cosine),
            1 - _part(pairs.genuine_reaching, cosine),
        )
        for (confidence, far), cosine, error in zip(FARS.items(), cosines, errors, strict=True)
    ]


def cosines_at(strangers: Counts) -> list[float]:
    """A cosine on a step for each of FARS, strictly rising, above -1. strangers: Pairs.strangers_reaching."""
    tail = _tail(strangers)
    cosines: list[float] = []
    for far in FARS.values():
        wanted = _least(strangers, far) if _is_counted(strangers, far) else tail(far)
        least = (cosines[-1] if cosines else -1) + _STEP
        cosines.append(_cosine(math.ceil((max(wanted, least) + 1) / _STEP - 1e-6)))
    return cosines


def calibration(levels: Sequence[Level]) -> Calibration:
    """The scale through the levels."""
    points = [(level.cosine, float(level.confidence)) for level in levels]
    highest = levels[-1].cosine
    beyond = round(highest + BEYOND * (SAME_IMAGE - highest), 4)
    return Calibration(((-1.0, 0.0), *points, (beyond, 99.0), (SAME_IMAGE, 100.0)))


def _errors(vectors: npt.NDArray[np.float64], people: Sequence[str]) -> list[float]:
    """Standard errors of the cosines, by a delete-a-group jackknife (J. Shao and D. Tu, The Jackknife and Bootstrap,
    1995, 2.3), which holds for statistics of pairs too.
    """
    apart = [cosines_at(strangers) for strangers in strangers_without(vectors, people)]
    return list(np.sqrt((GROUPS - 1) * np.var(apart, axis=0)).tolist())


def strangers_without(vectors: npt.NDArray[np.float64], people: Sequence[str]) -> Counts:
    """int64 (GROUPS, STEPS + 1): Pairs.strangers_reaching when a group of people is left out. In one pass."""
    who = np.unique(np.asarray(people), return_inverse=True)[1]
    group = who % GROUPS
    # Of photos of either group of two.
    counts = np.zeros((GROUPS, GROUPS, STEPS + 1), np.int64)
    for i in range(1, len(who)):
        strangers = who[:i] != who[i]
        steps = np.clip(np.floor((vectors[:i][strangers] @ vectors[i] + 1) / _STEP), 0, STEPS).astype(np.int64)
        np.add.at(counts[group[i]], (group[:i][strangers], steps), 1)
    within = counts[np.arange(GROUPS), np.arange(GROUPS)]
    without = counts.sum(axis=(0, 1)) - counts.sum(axis=0) - counts.sum(axis=1) + within
    return np.asarray(without[:, ::-1].cumsum(axis=1)[:, ::-1], np.int64)


def _part(reaching: Counts, cosine: float) -> float:
    """Of all pairs, those that reach the cosine."""
    return float(reaching[step_of(cosine)] / reaching[0])


def _cosine(step: int) -> float:
    return round(step * _STEP - 1, 4)


def _is_counted(strangers: Counts, far: float) -> bool:
    return bool(far * strangers[0] >= COUNTED_PAIRS)


def _least(strangers: Counts, far: float) -> float:
    """The least cosine that no more than that part of the strangers reach; 1 when there is none."""
    enough = strangers <= far * strangers[0]
    return _cosine(int(np.argmax(enough)) if enough.any() else STEPS)


def _tail(strangers: Counts) -> Callable[[float], float]:
    """The cosine for a false accept rate below TAIL: a line through the cosines of rates that can be counted, over
    what a standard normal exceeds as rarely. Cosines are the surer the more pairs reach them.
    """
    rates = np.geomspace(TAIL_FEWEST / strangers[0], TAIL, _TAIL_POINTS)
    x, y = [_exceeded(rate) for rate in rates], [_least(strangers, rate) for rate in rates]
    slope, start = np.polyfit(x, y, 1, w=np.sqrt(rates))
    return lambda far: float(start + slope * _exceeded(far))


def _exceeded(rate: float) -> float:
    """What a standard normal exceeds that rarely."""
    return -_NORMAL.inv_cdf(rate)
