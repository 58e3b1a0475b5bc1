"""Whether an embedder holds photos of one face closer than those of two people, on photos that an operator has."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from facesearch.evaluation.variants import variants
from shared.errors import FaceNotDetected, ImageUnreadable, OperatorError
from worker.vision.service import FaceService

Vector = npt.NDArray[np.float32]

MOST_PEOPLE: Final = 50
"""A photo of each is looked at: four looks each, a few seconds in all."""

LEAST: Final = 0.95
"""Part of the changed photos that must be closer to their own than to anybody else's. A model whose channels, mean and
scale are right misses none on good photos; two photos of one person under two names cost a few."""


@dataclass(frozen=True)
class Likeness:
    """people: of whom a photo shows a face. changed: photos made of those in which it was found again. right: of those,
    how many are closer to the photo they were made of than to that of anybody else.
    """

    people: int
    changed: int
    right: int

    def __str__(self) -> str:
        return f"{self.right} of {self.changed} changed photos of {self.people} people are closest to their own"


def likeness(faces: FaceService, photos: Iterable[tuple[str, bytes]]) -> Likeness:
    """photos: who is on each, and its bytes; the first of a person that shows a face counts.

    Raises OperatorError when there are not two people to be told apart, or the model does not tell them apart.
    """
    originals: dict[str, Vector] = {}
    changed: list[tuple[str, Vector]] = []
    for person, data in photos:
        if person in originals:
            continue
        if len(originals) == MOST_PEOPLE:
            break
        try:
            originals[person] = faces.embed_most_prominent(data).vector
        except (FaceNotDetected, ImageUnreadable):
            continue
        for variant in variants(data).values():
            try:
                changed.append((person, faces.embed_most_prominent(variant).vector))
            except FaceNotDetected:
                continue
    if len(originals) < 2 or not changed:
        raise OperatorError(
            f"to check the model, photos of two people are needed; faces of {len(originals)} were found"
        )
    names, kept = list(originals), np.stack(list(originals.values()))
    right = sum(names[int(np.argmax(kept @ vector))] == person for person, vector in changed)
    found = Likeness(len(originals), len(changed), right)
    if right < LEAST * len(changed):
        raise OperatorError(
            f"the model does not tell people apart as it is described: only {found}; check --channels, --mean, --scale"
        )
    return found
