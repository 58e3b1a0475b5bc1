"""How well embeddings tell people apart. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from facesearch.evaluation.pairs import ROWS, STEPS, Counts, Indices, Numbers, Pairs, compare


def true_accepts(vectors: npt.ArrayLike, people: Sequence[str], fars: Sequence[float]) -> dict[float, float]:
    """TAR@FAR: the part of all pairs of photos of one person that are accepted by the threshold at which that part of
    all pairs of strangers is.

    vectors: (N, D), of length 1; of a photo without a face NaN: its pairs are never accepted. people: who is on each
    of the photos. Pairs of one person must be more alike than `threshold`. Raises ValueError without a pair of either
    kind.
    """
    pairs = compare(vectors, people)
    return {far: true_accept_rate(pairs, far) for far in fars}


def true_accept_rate(pairs: Pairs, far: float) -> float:
    least = pairs.nth_stranger(nth(far, pairs.strangers_count))
    return int((pairs.genuine > least).sum()) / pairs.genuine_count


def threshold(strangers: npt.NDArray[np.floating], far: float) -> float:
    """The cosine of the n-th most alike pair of strangers, n being far times their pairs, at least 1. strangers: the
    cosines of all their pairs, most alike first.
    """
    return float(strangers[nth(far, len(strangers)) - 1])


def nth(far: float, strangers: int) -> int:
    """How many pairs of strangers that part of them is, at least 1."""
    return max(1, round(far * strangers))


def false_accept_curve(pairs: Pairs) -> Numbers:
    """float64 (STEPS + 1,), falling: the part of all pairs of strangers that reach each step of cosine."""
    return pairs.strangers_reaching / pairs.strangers_count


def false_reject_curve(pairs: Pairs) -> Numbers:
    """float64 (STEPS + 1,), rising: the part of all pairs of one person that do not reach each step of cosine."""
    return 1 - pairs.genuine_reaching / pairs.genuine_count


def equal_error_rate(pairs: Pairs) -> float:
    """Where as great a part of the strangers is accepted as of one person's pairs is refused: where the lines through
    both curves cross, which begin with a threshold that accepts everything and end with one that refuses everything.
    """
    accepts = np.concatenate([[1.0], false_accept_curve(pairs), [0.0]])
    rejects = np.concatenate([[0.0], false_reject_curve(pairs), [1.0]])
    after = int(np.argmax(rejects >= accepts))
    apart, then = accepts[after - 1] - rejects[after - 1], rejects[after] - accepts[after]
    return float(accepts[after - 1] + (accepts[after] - accepts[after - 1]) * apart / (apart + then))


def step_of(cosine: float) -> int:
    """The lowest step that is not below the cosine."""
    return min(STEPS, max(0, math.ceil((cosine + 1) * (STEPS / 2) - 1e-9)))


@dataclass(frozen=True, eq=False)  # arrays have no single truth value, so no ==
class Identification:
    """Who is found by whom. ranks: int64 (M,), of each probe; 1: the right person is more alike than all others.
    of: int32 (M,), whose probe it is, by the number among the names in the order of the alphabet. gallery: people to
    choose from.
    """

    ranks: Counts
    of: Indices
    gallery: int

    def rate(self, rank: int) -> float:
        """The part of the probes whose person is among the first so many."""
        return float((self.ranks <= rank).mean())


def identify(vectors: npt.ArrayLike, people: Sequence[str]) -> Identification:
    """Closed-set identification. The gallery has one photo of each person, the first; every other photo is a probe.

    Whoever is as alike as the right person is before them. A photo without a face (NaN) finds nobody and is found by
    nobody, in the gallery as well: then the rank is beyond the last. Raises ValueError without a probe.
    """
    array = np.asarray(vectors, np.float64)
    names, first, who = np.unique(np.asarray(people), return_index=True, return_inverse=True)
    probes = np.setdiff1d(np.arange(len(who)), first)
    if not probes.size:
        raise ValueError("nobody has two photos")
    of, gallery = who[probes].astype(np.int32), array[first].T
    ranks = np.empty(len(probes), np.int64)
    for start in range(0, len(probes), ROWS):
        part = slice(start, start + ROWS)
        cosines = array[probes[part]] @ gallery
        own = np.take_along_axis(cosines, of[part, None].astype(np.int64), axis=1)
        # The right person is as alike as themselves.
        ranks[part] = np.where(np.isnan(own[:, 0]), len(names) + 1, (cosines >= own).sum(axis=1))
    return Identification(ranks, of, len(names))


def expected_strangers(far: float, library: int) -> float:
    """Strangers that are listed for a probe who is not in a library of so many faces."""
    return far * library


def chance_of_stranger(far: float, library: int) -> float:
    """That at least one is, in parts. At most: were all probes alike. As some look like many people and most like
    nobody, the strangers there are fall to fewer probes.
    """
    return -math.expm1(library * math.log1p(-far)) if far < 1 else 1.0
