"""Every two photos compared: how alike those of one person are, and those of two. Pure.

Never more than ROWS rows of cosines are held at once, so N photos take N²/2 comparisons of time and memory for what is
kept: a count for each step of cosine, every pair of one person, and the most alike pairs of strangers. 10,000 photos
take ten seconds and 330 MB; 50,000, by reckoning, minutes and a few gigabytes, which is the limit. All pairs of
one person are kept, 12 bytes each, so a folder of few people with thousands of photos each needs more.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

STEPS: Final = 20_000
"""Cosines are counted in steps of 1e-4."""

KEPT_PART: Final = 0.02
"""The most alike pairs of strangers that are kept, of all: twice what a FAR of 1e-2 needs, since a resampling may give
much weight to people who look like others."""

KEPT_LEAST: Final = 100_000
"""Of a small folder all pairs are kept."""

ROWS: Final = 256

Numbers = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]
Indices = npt.NDArray[np.int32]


@dataclass(frozen=True, eq=False)  # arrays have no single truth value, so no ==
class Pairs:
    """What is known of all pairs of photos. P: how many people there are. Photos without a face are counted in all
    totals; their pairs reach no cosine.

    photos: int64 (P,), of each person. genuine: float64 (G,), cosines of the pairs of one person whose faces were
    found, most alike first; genuine_of: int32 (G,), whose. closest: float64 (K,), cosines of the most alike pairs of
    strangers, most alike first; closest_of: int32 (K, 2), whose. genuine_reaching, strangers_reaching: int64
    (STEPS + 1,), how many pairs have a cosine of -1 + 2 i / STEPS or more. levels: cosines; genuine_at, strangers_at:
    int64 (L, P), of how many pairs that reach a level each person is a part.
    """

    photos: Counts
    genuine: Numbers
    genuine_of: Indices
    closest: Numbers
    closest_of: Indices
    genuine_reaching: Counts
    strangers_reaching: Counts
    levels: tuple[float, ...]
    genuine_at: Counts
    strangers_at: Counts

    @property
    def genuine_by(self) -> Counts:
        """int64 (P,): pairs of each person's own photos."""
        return self.photos * (self.photos - 1) // 2

    @property
    def strangers_by(self) -> Counts:
        """int64 (P,): pairs with somebody else of which each person is a part; each pair is counted with both."""
        return self.photos * (int(self.photos.sum()) - self.photos)

    @property
    def genuine_count(self) -> int:
        return int(self.genuine_by.sum())

    @property
    def strangers_count(self) -> int:
        return int(self.strangers_by.sum()) // 2

    def nth_stranger(self, number: float) -> float:
        """The cosine of the number-th most alike pair of strangers, from 1; -inf where there is none, or none kept."""
        return float(self.closest[int(number) - 1]) if number <= len(self.closest) else -math.inf


def compare(vectors: npt.ArrayLike, people: Sequence[str], levels: Sequence[float] = ()) -> Pairs:
    """vectors: (N, D), of length 1; NaN of a photo without a face. people: who is on each of the photos.

    Raises ValueError without a pair of either kind.
    """
    array = np.asarray(vectors, np.float64)
    names, who = np.unique(np.asarray(people), return_inverse=True)
    photos = np.bincount(who, minlength=len(names))
    if len(names) < 2 or photos.max() < 2:
        raise ValueError("there must be two photos of one person, and two people")
    seen = ~np.isnan(array).any(axis=1)
    # np.unique numbers people by the alphabet; what is kept of them is the number.
    strangers = int((photos.sum() ** 2 - (photos**2).sum()) // 2)
    found = _Found(len(names), max(KEPT_LEAST, math.ceil(KEPT_PART * strangers)), tuple(levels))
    found.scan(array[seen], who[seen].astype(np.int32))
    return found.pairs(photos)


class _Found:
    """What a scan has found so far."""

    def __init__(self, people: int, kept: int, levels: tuple[float, ...]) -> None:
        self._people = people
        self._kept = kept
        self._levels = levels
        self._least = -math.inf
        self._closest: list[tuple[Numbers, Indices]] = []
        self._genuine: list[tuple[Numbers, Indices]] = []
        self._counts = np.zeros((2, STEPS + 1), np.int64)
        self._genuine_at = np.zeros((len(levels), people), np.int64)
        self._strangers_at = np.zeros((len(levels), people), np.int64)

    def scan(self, rows: Numbers, who: Indices) -> None:
        for start in range(0, len(rows), ROWS):
            block = rows[start : start + ROWS] @ rows[start:].T
            first, second = who[start : start + ROWS], who[start:]
            later = np.arange(len(second)) > np.arange(len(first))[:, None]
            same = first[:, None] == second
            self._take_genuine(block, first, later & same)
            self._take_strangers(block, first, second, later & ~same)

    def pairs(self, photos: Counts) -> Pairs:
        self._prune()
        genuine, genuine_of = _sorted(self._genuine, ())
        closest, closest_of = _sorted(self._closest, (2,))
        strangers_reaching, genuine_reaching = self._counts[:, ::-1].cumsum(axis=1)[:, ::-1]
        return Pairs(
            photos,
            genuine,
            genuine_of,
            closest,
            closest_of,
            genuine_reaching,
            strangers_reaching,
            self._levels,
            self._genuine_at,
            self._strangers_at,
        )

    def _take_genuine(self, block: Numbers, first: Indices, taken: npt.NDArray[np.bool_]) -> None:
        cosines, of = block[taken], first[np.nonzero(taken)[0]]
        self._counts[1] += _counted(cosines)
        self._genuine.append((cosines, of))
        for number, level in enumerate(self._levels):
            self._genuine_at[number] += np.bincount(of[cosines >= level], minlength=self._people)

    def _take_strangers(self, block: Numbers, first: Indices, second: Indices, taken: npt.NDArray[np.bool_]) -> None:
        self._counts[0] += _counted(block[taken])
        for number, level in enumerate(self._levels):
            i, j = np.nonzero(taken & (block >= level))
            both = np.concatenate([first[i], second[j]])
            self._strangers_at[number] += np.bincount(both, minlength=self._people)
        i, j = np.nonzero(taken & (block > self._least))
        self._closest.append((block[i, j], np.stack([first[i], second[j]], axis=1)))
        if sum(len(cosines) for cosines, _ in self._closest) > 2 * self._kept:
            self._prune()

    def _prune(self) -> None:
        """Keep the most alike pairs of strangers alone."""
        cosines, of = _sorted(self._closest, (2,))
        self._closest = [(cosines[: self._kept], of[: self._kept])]
        if len(cosines) >= self._kept:
            self._least = float(cosines[self._kept - 1])


def _counted(cosines: Numbers) -> Counts:
    """Pairs by the highest step that they reach."""
    steps = np.clip(np.floor((cosines + 1) * (STEPS / 2)), 0, STEPS).astype(np.int64)
    return np.bincount(steps, minlength=STEPS + 1)


def _sorted(parts: Sequence[tuple[Numbers, Indices]], shape: tuple[int, ...]) -> tuple[Numbers, Indices]:
    """Most alike first. shape: of what a cosine is of."""
    cosines = np.concatenate([np.empty(0), *(cosines for cosines, _ in parts)])
    of = np.concatenate([np.empty((0, *shape), np.int32), *(of for _, of in parts)])
    order = np.argsort(-cosines, kind="stable")
    return cosines[order], of[order]
