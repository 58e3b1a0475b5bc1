"""Made-up embeddings for the benchmarks of stores: of people like SFace's, and of people in random directions.

`LikeSface` has the structure of SFace's embeddings of 1,848 photos of 1,000 people of LFW:

- their mean has a length of 0.31, so that the cosines of impostor pairs are 0.095 on average;
- people vary around it by 0.572 (the trace of the covariance), along axes whose variances fall from 0.0124 to 0; the
  photos of one person vary by 0.334 around that person, about equally along all axes (0.0022 to 0.0032).

The cosines of genuine pairs are then 0.67 +- 0.05 (LFW 0.67 +- 0.10, with its turned faces), those of impostor pairs
0.095 +- 0.092 (LFW 0.088). These embeddings fill nearly all of their space: the effective dimension, tr(C)^2 / tr(C^2),
is 107 of 128. So little can be left out or coarsened, and the nearest impostors (the 50th of 100,000 is at a cosine of
0.38) are about equally far away in all directions, which is hard for a graph and for codes of one or two bits.

`RandomPeople` is harder for a graph: people lie in random directions and have nothing in common, so that the cosines of
impostor pairs are 0 +- 0.088, and the photos of one person are at cosines of 0.6 +- 0.04 from each other. Few faces
besides the person's own are above a threshold, and no other face leads to them.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]

DIMENSION: Final = 128
PHOTOS_EACH: Final = 4

MEAN: Final = 0.31
PEOPLE: Final = (0.0124, 0.00864, 0.00667, 0.00506, 0.00396, 0.00287, 0.00202, 0.00103, 0.0)
"""Variances of people at equally spaced axes, from the first to the last; interpolated between them."""

SAME_PERSON: Final = 0.6
"""Mean cosine between two photos of one person of RandomPeople."""


class Faces(ABC):
    """Made-up embeddings, the same in each run. variance: of the photos of a person along each axis."""

    def __init__(self, variance: float, seed: int) -> None:
        self._deviation = np.float32(np.sqrt(variance))
        self.random = np.random.default_rng(seed)

    @abstractmethod
    def people(self, count: int) -> Vectors:
        """Return new people: float32 (count, DIMENSION), not of unit length."""

    def photos(self, people: Vectors) -> Vectors:
        """Return one photo of each person: float32, the shape of people, unit length."""
        vectors = people + self._deviation * self.random.standard_normal(people.shape, np.float32)
        return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)

    def batches(self, size: int) -> Iterator[Vectors]:
        """Yield batches of size photos, without end: PHOTOS_EACH of each person, in batches of their own."""
        while True:
            people = self.people(size)
            for _ in range(PHOTOS_EACH):
                yield self.photos(people)


class LikeSface(Faces):
    """People with the covariance of SFace's embeddings."""

    def __init__(self, seed: int = 1) -> None:
        super().__init__(0.334 / DIMENSION, seed)
        axes = np.interp(np.arange(DIMENSION), np.linspace(0, DIMENSION - 1, len(PEOPLE)), PEOPLE)
        self._spread = np.sqrt(axes).astype(np.float32)
        self._mean = np.full(DIMENSION, MEAN / np.sqrt(DIMENSION), np.float32)

    def people(self, count: int) -> Vectors:
        return self._mean + self._spread * self.random.standard_normal((count, DIMENSION), np.float32)


class RandomPeople(Faces):
    """People in random directions."""

    def __init__(self, seed: int = 1) -> None:
        # Two photos of a person of length 1 have the cosine 1 / (1 + the sum of the variances) on average.
        super().__init__((1 / SAME_PERSON - 1) / DIMENSION, seed)

    def people(self, count: int) -> Vectors:
        centres = self.random.standard_normal((count, DIMENSION), np.float32)
        return np.asarray(centres / np.linalg.norm(centres, axis=1, keepdims=True), np.float32)
