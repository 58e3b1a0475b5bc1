"""How well embeddings tell people apart, and whether two pipelines saw the same face. Pure."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Box = tuple[float, float, float, float]
"""x, y, width, height, in parts of the image's sides: comparable whatever size an image was decoded at."""


def overlap(first: Box, second: Box) -> float:
    """Intersection over union, in [0, 1]."""
    sides = [
        max(0.0, min(first[axis] + first[axis + 2], second[axis] + second[axis + 2]) - max(first[axis], second[axis]))
        for axis in (0, 1)
    ]
    shared = sides[0] * sides[1]
    both = first[2] * first[3] + second[2] * second[3] - shared
    return min(1.0, shared / both) if both else 0.0


def true_accepts(vectors: npt.ArrayLike, people: Sequence[str], fars: Sequence[float]) -> dict[float, float]:
    """TAR@FAR: the part of all pairs of photos of one person that are accepted by the threshold at which that part of
    all pairs of strangers is.

    vectors: (N, D), of length 1; of a photo without a face NaN: its pairs are never accepted. people: who is on each
    of the photos. The threshold is the cosine of the n-th most alike strangers, n being far times their pairs; pairs
    of one person must be more alike. Raises ValueError without a pair of either kind.
    """
    array = np.asarray(vectors, np.float64)
    cosines = np.where(np.isnan(array @ array.T), -1.0, array @ array.T)
    names = np.asarray(people)
    once = np.triu(np.ones(cosines.shape, bool), 1)
    same = names[:, None] == names[None]
    genuine, strangers = cosines[same & once], np.sort(cosines[~same & once])[::-1]
    if not (genuine.size and strangers.size):
        raise ValueError("there must be two photos of one person, and two people")
    thresholds = {far: strangers[max(0, round(far * len(strangers)) - 1)] for far in fars}
    return {far: float((genuine > least).mean()) for far, least in thresholds.items()}
