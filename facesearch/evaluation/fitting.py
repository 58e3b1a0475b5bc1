"""Fitting a calibration to photos of people: the cosine that impostor pairs reach at a given rate, counted or from
their tail (worker/confidence/rates.py).

Photos of one person make many pairs, which are not independent; so errors come from leaving out people, not pairs.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from facesearch.evaluation.pairs import compare
from worker.confidence import rates
from worker.confidence.rates import FARS, SAME_IMAGE, STEP, STEPS, Counts, cosines_at, is_counted, step_of
from worker.models.calibration import Calibration

MIN_PEOPLE: Final = 100
MIN_IMPOSTOR_PAIRS: Final = 30_000
"""Fewest impostor pairs: the tail then has 600. One photo each of 246 people makes as many, or three each of 83."""

MIN_GENUINE_PAIRS: Final = 30
"""Fewest genuine pairs: with fewer it is unknown whether the model recognises people."""

GROUPS: Final = 20
"""Groups of people, each left out once to estimate how much a cosine depends on who is in the folder."""


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
    if cosines[-1] + STEP >= SAME_IMAGE:
        raise ValueError("impostor pairs are as alike as two copies of one photo")
    errors = _errors(np.asarray(vectors, np.float64), people)
    return [
        Level(
            confidence,
            cosine,
            far,
            is_counted(pairs.impostors_reaching, far),
            error,
            _part(pairs.impostors_reaching, cosine),
            1 - _part(pairs.genuine_reaching, cosine),
        )
        for (confidence, far), cosine, error in zip(FARS.items(), cosines, errors, strict=True)
    ]


def calibration(levels: Sequence[Level]) -> Calibration:
    """Return the calibration through the levels."""
    return rates.calibration([level.cosine for level in levels])


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
        steps = np.clip(np.floor((vectors[:i][impostors] @ vectors[i] + 1) / STEP), 0, STEPS).astype(np.int64)
        np.add.at(counts[group[i]], (group[:i][impostors], steps), 1)
    within = counts[np.arange(GROUPS), np.arange(GROUPS)]
    without = counts.sum(axis=(0, 1)) - counts.sum(axis=0) - counts.sum(axis=1) + within
    return np.asarray(without[:, ::-1].cumsum(axis=1)[:, ::-1], np.int64)


def _part(reaching: Counts, cosine: float) -> float:
    """Return the part of all pairs that reach the cosine."""
    return float(reaching[step_of(cosine)] / reaching[0])
