"""Metrics of recognition: TAR, FAR, FRR, EER and rank-k identification."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from facesearch.evaluation.pairs import ROWS, Indices, Numbers, Pairs
from worker.confidence.rates import Counts


def true_accept_rate(pairs: Pairs, far: float) -> float:
    """Return TAR at a FAR: the part of genuine pairs more similar than the n-th most similar impostor pair, where n is
    far times the number of impostor pairs, at least 1. Pairs of a photo without a face are never accepted.
    """
    least = pairs.nth_impostor(nth(far, pairs.impostor_count))
    return int((pairs.genuine > least).sum()) / pairs.genuine_count


def nth(far: float, impostors: int) -> int:
    """Return how many of that number of impostor pairs the rate is, at least 1."""
    return max(1, round(far * impostors))


def false_accept_curve(pairs: Pairs) -> Numbers:
    """Return float64 (STEPS + 1,), falling: the part of impostor pairs that reach each step of cosine."""
    return pairs.impostors_reaching / pairs.impostor_count


def false_reject_curve(pairs: Pairs) -> Numbers:
    """Return float64 (STEPS + 1,), rising: the part of genuine pairs that do not reach each step of cosine."""
    return 1 - pairs.genuine_reaching / pairs.genuine_count


def equal_error_rate(pairs: Pairs) -> float:
    """Return the rate at which the lines through both curves cross, from a threshold that accepts every pair to one
    that rejects every pair.
    """
    accepts = np.concatenate([[1.0], false_accept_curve(pairs), [0.0]])
    rejects = np.concatenate([[0.0], false_reject_curve(pairs), [1.0]])
    after = int(np.argmax(rejects >= accepts))
    apart, then = accepts[after - 1] - rejects[after - 1], rejects[after] - accepts[after]
    return float(accepts[after - 1] + (accepts[after] - accepts[after - 1]) * apart / (apart + then))


@dataclass(frozen=True, eq=False)  # arrays have no single truth value, so no ==
class Identification:
    """Ranks of a closed-set identification.

    ranks: int64 (M,), of each probe; 1 if the right person is more similar than all others. of: int32 (M,), the person
    of each probe, as an index into the sorted names. gallery: number of people in the gallery.
    """

    ranks: Counts
    of: Indices
    gallery: int

    def rate(self, rank: int) -> float:
        """Return the part of probes with at most that rank."""
        return float((self.ranks <= rank).mean())


def identify(vectors: npt.ArrayLike, people: Sequence[str]) -> Identification:
    """Return the closed-set identification. The gallery has the first photo of each person; every other photo is a
    probe.

    People as similar as the right person rank before them. A photo without a face (NaN) has no match, as a probe or
    in the gallery: the rank is then beyond the last. Raises ValueError without a probe.
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
        # The right person counts as one of those as similar.
        ranks[part] = np.where(np.isnan(own[:, 0]), len(names) + 1, (cosines >= own).sum(axis=1))
    return Identification(ranks, of, len(names))


def expected_impostors(far: float, library: int) -> float:
    """Return the expected number of false matches for a probe not in a library of that many faces."""
    return far * library


def chance_of_impostor(far: float, library: int) -> float:
    """Return the probability of at least one false match. An upper bound, exact if all probes are alike: some faces
    look like many people and most like none, so false matches concentrate on fewer probes.
    """
    return -math.expm1(library * math.log1p(-far)) if far < 1 else 1.0
