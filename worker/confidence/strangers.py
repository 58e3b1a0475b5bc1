"""How often strangers of one library reach a confidence, from its vectors alone: without photos and without labels.

Nearly all pairs of faces in a library are of different people, so the distribution of their cosines is that of impostor
pairs, up to the highest cosines, where the few pairs of one person are. Those are found first and left out: two faces
are taken for one person where their cosine is beyond what the tails of both faces, each with its own line, explain. The
line of a face goes through the cosines of its neighbours FIRST to LAST, over the quantiles of a normal distribution. A
face with many near neighbours has a line that is high, so people who look alike, such as relatives or people of one
region and sex, are not taken for one person. How far beyond is enough is decided by the false discovery rate (Y.
Benjamini and Y. Hochberg, Journal of the Royal Statistical Society B 57, 1995). docs/decisions/0027 has the figures.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

import numpy as np
import numpy.typing as npt

from worker.confidence.rates import (
    COUNTED_PAIRS,
    FARS,
    SAME_IMAGE,
    STEP,
    STEPS,
    TAIL,
    Counts,
    cosines_at,
    step_of,
    tail,
)

MIN_FACES: Final = 500
"""Fewest faces: of their 125,000 pairs 125 reach 80. With 250 the estimate at 95 is off by a factor of 2 in one of
three samples."""

MAX_FACES: Final = 10_000
"""Most faces: of their 50 million pairs 500 reach 95. More would make the estimate little better and take time that
grows with the square."""

TAIL_PAIRS: Final = 5000
"""Most pairs that are the tail, so that it is near the rates for which it is needed, however many faces there are."""

GROUPS: Final = 20
"""Groups of people, each left out once to estimate how much a rate depends on who is in the library."""

FIRST: Final = 11
"""Nearest neighbour of a face that its line begins with: ten others may be of the same person."""

LAST: Final = 61
"""Nearest neighbour that its line ends with."""

FALSE_SHARE: Final = 0.05
"""Expected part of different people among the pairs that are taken for one person."""

FALSE_RATE: Final = 4e-7
"""Highest expected rate of such errors: 4 % of the pairs that reach 95."""

TOLD_PAIRS: Final = 40
"""Expected pairs from which on something is said of a rate below 1e-5: for 97 those of 8,945 faces. Of 5,000 faces the
estimate was off by up to a factor of 4."""

ROUNDS: Final = 3
"""Most rounds of finding the faces of one person."""

DOUBT: Final = 0.3
"""Standard error of the logarithm of a rate for each decade by which it is extrapolated, beside that of the sample: the
rates of the populations of decision 27 were off by up to that much."""

_ROWS: Final = 64
_Z: Final = 1.96  # of an interval of 95 %
_LEAST_FAR: Final = 1e-5  # of which MIN_FACES tell something, by decision 27
_MOST_SPREAD: Final = math.log(1e6)  # of a rate and an end of its interval
_NORMAL: Final = NormalDist()

Vectors = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]


class TooFewFaces(ValueError):
    """The library has fewer than MIN_FACES faces."""


@dataclass(frozen=True)
class Level:
    """What a confidence stands for in a library.

    far: the rate that it is meant to stand for. cosine: of the confidence by the model's calibration. rate: the
    estimated part of impostor pairs that reach the cosine; low, high: its interval of 95 %. counted: whether the rate
    was counted; else it was extrapolated from the tail. told: whether there are enough faces to say anything of a rate
    such as the meant one. own: the cosine at which the rate is the meant one; error: its standard error.
    """

    confidence: int
    far: float
    cosine: float
    rate: float
    low: float
    high: float
    counted: bool
    told: bool
    own: float
    error: float


@dataclass(frozen=True)
class Estimate:
    """faces: number of faces. repeated: faces that were taken for a repetition of another one. pairs: impostor pairs.
    levels: one for each of FARS, lowest confidence first.
    """

    faces: int
    repeated: int
    pairs: int
    levels: tuple[Level, ...]


def estimate(vectors: npt.ArrayLike, cosines: Sequence[float], step: Callable[[], None] = lambda: None) -> Estimate:
    """Return the estimate. vectors: (N, D), of length 1, a random sample of the library. cosines: of each of FARS by
    the model's calibration. step: called every few milliseconds of work; an exception of it ends the work.

    Raises TooFewFaces, and ValueError where strangers are as alike as two copies of one photo.
    """
    array = np.asarray(vectors, np.float32)
    if len(array) < MIN_FACES:
        raise TooFewFaces(f"{len(array)} faces are too few: {MIN_FACES} are needed")
    people = same_person(array, step)
    reaching, without = _count(array, people, step)
    own = _own(reaching)
    if own[-1] + STEP >= SAME_IMAGE:
        raise ValueError("its faces are as alike as copies of one photo")
    apart = [_own(part) for part in without]
    errors = _errors(apart)
    rates = [_rates(part, cosines) for part in (reaching, *without)]
    spread = _errors(np.log(rates[1:]))
    pairs = int(reaching[0])
    levels = []
    for number, (confidence, far) in enumerate(FARS.items()):
        rate = rates[0][number]
        decades = max(0.0, math.log10(COUNTED_PAIRS / (rate * pairs)))
        factor = math.exp(min(_Z * math.hypot(spread[number], DOUBT * decades), _MOST_SPREAD))
        levels.append(
            Level(
                confidence,
                far,
                cosines[number],
                rate,
                rate / factor,
                min(1.0, rate * factor),
                bool(reaching[step_of(cosines[number])] >= COUNTED_PAIRS),
                far >= _LEAST_FAR or far * pairs >= TOLD_PAIRS,
                own[number],
                errors[number],
            )
        )
    return Estimate(len(array), len(array) - len(np.unique(people)), pairs, tuple(levels))


def same_person(vectors: Vectors, step: Callable[[], None] = lambda: None) -> Labels:
    """Return int64 (N,): faces with the same number are taken for one person. vectors: (N, D), N >= MIN_FACES.

    Faces that were found to be one person's are then compared as their mean, which is nearer to that person's others.
    """
    people = np.arange(len(vectors))
    for _ in range(ROUNDS):
        merged = _merged(_means(vectors, people), step)[people]
        if np.array_equal(merged, people):
            break
        people = np.unique(merged, return_inverse=True)[1]
        if people.max() < LAST:
            break
    return people


def _means(vectors: Vectors, people: Labels) -> Vectors:
    """Return the normalised mean of each person's faces."""
    sums = np.zeros((people.max() + 1, vectors.shape[1]), np.float32)
    np.add.at(sums, people, vectors)
    return np.asarray(sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), STEP), np.float32)


def _merged(vectors: Vectors, step: Callable[[], None]) -> Labels:
    """Return int64 (N,): vectors with the same number are taken for one person."""
    first, second, depths = _near_pairs(vectors, step)
    order = np.argsort(-depths)
    pairs = math.comb(len(vectors), 2)
    # Pairs of different people that are expected to be so deep in the tails of both.
    expected = np.array([pairs * _NORMAL.cdf(-depth) for depth in depths[order].tolist()])
    most = np.minimum(FALSE_SHARE * np.arange(1, len(order) + 1), max(1.0, FALSE_RATE * pairs))
    taken = np.flatnonzero(expected <= most)
    linked = order[: taken[-1] + 1] if taken.size else order[:0]
    return _components(len(vectors), first[linked], second[linked])


def _near_pairs(vectors: Vectors, step: Callable[[], None]) -> tuple[Labels, Labels, npt.NDArray[np.float64]]:
    """Return the pairs of which one is among the FIRST - 1 nearest neighbours of the other: both faces, and the depth
    of the pair's cosine, the smaller of its quantiles by the lines of both.
    """
    count, near = len(vectors), FIRST - 1
    quantiles = np.array([-_NORMAL.inv_cdf((rank - 0.5) / (count - 1)) for rank in range(FIRST, LAST + 1)])
    centred = quantiles - quantiles.mean()
    slopes, starts = np.empty(count), np.empty(count)
    neighbours, cosines = np.empty((count, near), np.int64), np.empty((count, near), np.float32)
    for begin in range(0, count, _ROWS):
        rows = slice(begin, begin + _ROWS)
        block = vectors[rows] @ vectors.T
        numbers = np.arange(len(block))
        block[numbers, begin + numbers] = -2  # no face is its own neighbour
        nearest = np.argpartition(block, count - LAST, axis=1)[:, -LAST:]
        falling = np.argsort(-np.take_along_axis(block, nearest, axis=1), axis=1)
        nearest = np.take_along_axis(nearest, falling, axis=1)
        found = np.take_along_axis(block, nearest, axis=1)
        line = found[:, near:].astype(np.float64)
        slopes[rows] = line @ centred / (centred @ centred)
        starts[rows] = line.mean(axis=1) - slopes[rows] * quantiles.mean()
        neighbours[rows], cosines[rows] = nearest[:, :near], found[:, :near]
        step()
    one, other = np.repeat(np.arange(count), near), neighbours.ravel()
    # Each pair once, as one number: both may be among the nearest of the other.
    pairs, kept = np.unique(np.minimum(one, other) * count + np.maximum(one, other), return_index=True)
    first, second = np.divmod(pairs, count)
    # A line without a slope is of equal neighbours; nothing is beyond it but by rounding.
    safe = np.maximum(slopes, STEP)
    of = cosines.ravel()[kept].astype(np.float64)
    depths = np.minimum((of - starts[first]) / safe[first], (of - starts[second]) / safe[second])
    return first, second, depths


def _components(count: int, first: Labels, second: Labels) -> Labels:
    """Return the number of each face's component of the graph with these edges: the lowest face in it."""
    labels = np.arange(count)
    while True:
        lowest = np.minimum(labels[first], labels[second])
        lower = labels.copy()
        np.minimum.at(lower, first, lowest)
        np.minimum.at(lower, second, lowest)
        lower = lower[lower]
        if np.array_equal(lower, labels):
            return labels
        labels = lower


def _count(vectors: Vectors, people: Labels, step: Callable[[], None]) -> tuple[Counts, Counts]:
    """Return int64 (STEPS + 1,), the number of impostor pairs that reach each step of cosine, and int64
    (GROUPS, STEPS + 1), the same without each group of people.
    """
    group = np.unique(people, return_inverse=True)[1] % GROUPS
    order = np.argsort(group, kind="stable")
    vectors, people = vectors[order], people[order]
    bounds = np.searchsorted(group[order], np.arange(GROUPS + 1))
    of_group = np.zeros((GROUPS, STEPS + 1), np.int64)
    total = np.zeros(STEPS + 1, np.int64)
    for a in range(GROUPS):
        for b in range(a, GROUPS):
            rows, columns = slice(bounds[a], bounds[a + 1]), slice(bounds[b], bounds[b + 1])
            cosines = vectors[rows] @ vectors[columns].T
            if a == b:  # each pair once, and people have all their faces in one group
                differ = people[rows, None] != people[None, columns]
                cosines = cosines[np.triu(differ, 1)]
            found = _count_steps(cosines)
            total += found
            of_group[a] += found
            if a != b:
                of_group[b] += found
            step()
    reaching = np.vstack([total, total - of_group])[:, ::-1].cumsum(axis=1)[:, ::-1]
    return reaching[0], reaching[1:]


def _count_steps(cosines: npt.NDArray[np.float32]) -> Counts:
    """Return the number of pairs by the highest step that they reach."""
    steps = np.floor((cosines.ravel() + np.float32(1)) * np.float32(1 / STEP))
    return np.bincount(np.clip(steps, 0, STEPS).astype(np.int64), minlength=STEPS + 1)


def _most(reaching: Counts) -> float:
    return float(min(TAIL, TAIL_PAIRS / reaching[0]))


def _own(reaching: Counts) -> list[float]:
    """Return the cosine of each of FARS."""
    return cosines_at(reaching, _most(reaching))


def _rates(reaching: Counts, cosines: Sequence[float]) -> list[float]:
    """Return the part of the pairs that reach each cosine, at least 1e-300."""
    line = tail(reaching, _most(reaching))
    rates = []
    for cosine in cosines:
        found = int(reaching[step_of(cosine)])
        rates.append(found / int(reaching[0]) if found >= COUNTED_PAIRS else max(line.rate(cosine), 1e-300))
    return rates


def _errors(apart: npt.ArrayLike) -> list[float]:
    """Return standard errors by a delete-a-group jackknife (J. Shao and D. Tu, The Jackknife and Bootstrap, 1995, 2.3),
    which holds for statistics of pairs, too. apart: (GROUPS, L), the statistics without each group.
    """
    return list(np.sqrt((GROUPS - 1) * np.var(np.asarray(apart), axis=0)).tolist())
