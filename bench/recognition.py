"""How well embeddings tell people apart. Pure."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def true_accepts(vectors: npt.ArrayLike, people: Sequence[str], fars: Sequence[float]) -> dict[float, float]:
    """TAR@FAR: the part of all pairs of photos of one person that are accepted by the threshold at which that part of
    all pairs of strangers is.

    vectors: (N, D), of length 1; of a photo without a face NaN: its pairs are never accepted. people: who is on each
    of the photos. Pairs of one person must be more alike than `threshold`. Raises ValueError without a pair of either
    kind.
    """
    array = np.asarray(vectors, np.float64)
    cosines = np.where(np.isnan(array @ array.T), -1.0, array @ array.T)
    names = np.asarray(people)
    once = np.triu(np.ones(cosines.shape, bool), 1)
    same = names[:, None] == names[None]
    genuine, strangers = cosines[same & once], np.sort(cosines[~same & once])[::-1]
    if not (genuine.size and strangers.size):
        raise ValueError("there must be two photos of one person, and two people")
    return {far: float((genuine > threshold(strangers, far)).mean()) for far in fars}


def threshold(strangers: npt.NDArray[np.floating], far: float) -> float:
    """The cosine of the n-th most alike pair of strangers, n being far times their pairs, at least 1. strangers: the
    cosines of all their pairs, most alike first.
    """
    return float(strangers[max(1, round(far * len(strangers))) - 1])
