"""Similarities of all pairs of photos, genuine and impostor.

At most ROWS rows of cosines are held at once, so N photos take N²/2 comparisons of time, and memory only for the
results: a count for each step of cosine, every genuine pair, and the most similar impostor pairs. 10,000 photos take
ten seconds and 330 MB; 50,000, by estimate, minutes and a few gigabytes, which is the limit. All genuine pairs are
kept, 12 bytes each, so a folder of few people with thousands of photos each needs more.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from worker.confidence.rates import STEPS, Counts

KEPT_PART: Final = 0.02
"""Part of impostor pairs that is kept, the most similar ones: twice what a FAR of 1e-2 needs, since resampling may give
much weight to people who look like others."""

KEPT_LEAST: Final = 100_000
"""Fewest impostor pairs that are kept: all of a small folder."""

ROWS: Final = 256

Numbers = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int32]


@dataclass(frozen=True, eq=False)  # arrays have no single truth value, so no ==
class Pairs:
    """Similarities of all pairs of photos of P people. Photos without a face count in all totals; their pairs reach no
    cosine.

    photos: int64 (P,), of each person. genuine: float64 (G,), cosines of genuine pairs with both faces found, most
    similar first; genuine_people: int32 (G,), their people. closest: float64 (K,), cosines of the most similar impostor
    pairs, most similar first; closest_people: int32 (K, 2), their people. genuine_reaching, impostors_reaching: int64
    (STEPS + 1,), number of pairs with a cosine of -1 + 2 i / STEPS or more. levels: cosines; genuine_at, impostors_at:
    int64 (L, P), number of pairs of each person that reach a level.
    """

    photos: Counts
    genuine: Numbers
    genuine_people: Indices
    closest: Numbers
    closest_people: Indices
    genuine_reaching: Counts
    impostors_reaching: Counts
    levels: tuple[float, ...]
    genuine_at: Counts
    impostors_at: Counts

    @property
    def genuine_by(self) -> Counts:
        """int64 (P,): genuine pairs of each person."""
        return self.photos * (self.photos - 1) // 2

    @property
    def impostors_by(self) -> Counts:
        """int64 (P,): impostor pairs of each person; each pair is counted for both."""
        return self.photos * (int(self.photos.sum()) - self.photos)

    @property
    def genuine_count(self) -> int:
        return int(self.genuine_by.sum())

    @property
    def impostor_count(self) -> int:
        return int(self.impostors_by.sum()) // 2

    def nth_impostor(self, number: float) -> float:
        """Return the cosine of the number-th most similar impostor pair, from 1; -inf if there is none, or none
        kept.
        """
        return float(self.closest[int(number) - 1]) if number <= len(self.closest) else -math.inf


def compare(vectors: npt.ArrayLike, people: Sequence[str], levels: Sequence[float] = ()) -> Pairs:
    """Compare all pairs. vectors: (N, D), of length 1; NaN for a photo without a face. people: who is on each photo.

    Raises ValueError without a pair of either kind.
    """
    array = np.asarray(vectors, np.float64)
    names, who = np.unique(np.asarray(people), return_inverse=True)
    photos = np.bincount(who, minlength=len(names))
    if len(names) < 2 or photos.max() < 2:
        raise ValueError("there must be two photos of one person, and two people")
    seen = ~np.isnan(array).any(axis=1)
    # np.unique numbers people in the order of their names; only the numbers are kept.
    impostors = int((photos.sum() ** 2 - (photos**2).sum()) // 2)
    found = _PairScan(len(names), max(KEPT_LEAST, math.ceil(KEPT_PART * impostors)), tuple(levels))
    found.scan(array[seen], who[seen].astype(np.int32))
    return found.pairs(photos)


class _PairScan:
    """Results of a scan over all pairs."""

    def __init__(self, people: int, kept: int, levels: tuple[float, ...]) -> None:
        self._people = people
        self._kept = kept
        self._levels = levels
        self._least = -math.inf
        self._closest: list[tuple[Numbers, Indices]] = []
        self._genuine: list[tuple[Numbers, Indices]] = []
        self._counts = np.zeros((2, STEPS + 1), np.int64)
        self._genuine_at = np.zeros((len(levels), people), np.int64)
        self._impostors_at = np.zeros((len(levels), people), np.int64)

    def scan(self, rows: Numbers, who: Indices) -> None:
        for start in range(0, len(rows), ROWS):
            block = rows[start : start + ROWS] @ rows[start:].T
            first, second = who[start : start + ROWS], who[start:]
            later = np.arange(len(second)) > np.arange(len(first))[:, None]
            same = first[:, None] == second
            self._add_genuine(block, first, later & same)
            self._add_impostors(block, first, second, later & ~same)

    def pairs(self, photos: Counts) -> Pairs:
        self._prune()
        genuine, genuine_people = _most_alike_first(self._genuine, ())
        closest, closest_people = _most_alike_first(self._closest, (2,))
        impostors_reaching, genuine_reaching = self._counts[:, ::-1].cumsum(axis=1)[:, ::-1]
        return Pairs(
            photos,
            genuine,
            genuine_people,
            closest,
            closest_people,
            genuine_reaching,
            impostors_reaching,
            self._levels,
            self._genuine_at,
            self._impostors_at,
        )

    def _add_genuine(self, block: Numbers, first: Indices, taken: npt.NDArray[np.bool_]) -> None:
        cosines, of = block[taken], first[np.nonzero(taken)[0]]
        self._counts[1] += _count_steps(cosines)
        self._genuine.append((cosines, of))
        for number, level in enumerate(self._levels):
            self._genuine_at[number] += np.bincount(of[cosines >= level], minlength=self._people)

    def _add_impostors(self, block: Numbers, first: Indices, second: Indices, taken: npt.NDArray[np.bool_]) -> None:
        self._counts[0] += _count_steps(block[taken])
        for number, level in enumerate(self._levels):
            i, j = np.nonzero(taken & (block >= level))
            both = np.concatenate([first[i], second[j]])
            self._impostors_at[number] += np.bincount(both, minlength=self._people)
        i, j = np.nonzero(taken & (block > self._least))
        self._closest.append((block[i, j], np.stack([first[i], second[j]], axis=1)))
        if sum(len(cosines) for cosines, _ in self._closest) > 2 * self._kept:
            self._prune()

    def _prune(self) -> None:
        """Keep only the most similar impostor pairs."""
        cosines, of = _most_alike_first(self._closest, (2,))
        self._closest = [(cosines[: self._kept], of[: self._kept])]
        if len(cosines) >= self._kept:
            self._least = float(cosines[self._kept - 1])


def _count_steps(cosines: Numbers) -> Counts:
    """Return the number of pairs by the highest step that they reach."""
    steps = np.clip(np.floor((cosines + 1) * (STEPS / 2)), 0, STEPS).astype(np.int64)
    return np.bincount(steps, minlength=STEPS + 1)


def _most_alike_first(parts: Sequence[tuple[Numbers, Indices]], shape: tuple[int, ...]) -> tuple[Numbers, Indices]:
    """Sort cosines and their people, most similar first. shape: of the people of one cosine."""
    cosines = np.concatenate([np.empty(0), *(cosines for cosines, _ in parts)])
    of = np.concatenate([np.empty((0, *shape), np.int32), *(of for _, of in parts)])
    order = np.argsort(-cosines, kind="stable")
    return cosines[order], of[order]
