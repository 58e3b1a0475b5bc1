"""A check that an embedder separates people, on an operator's photos and altered copies of them."""

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
"""Most people, with a photo each: four embeddings for each of them, a few seconds in all."""

MIN_RIGHT: Final = 0.95
"""Least part of altered photos closest to their own original. A model whose channels, mean and scale are right misses
none on good photos; two photos of one person under two names cost a few."""


@dataclass(frozen=True)
class Separation:
    """Result of the check. people: with a face on a photo. changed: altered photos with a face. right: those closest to
    their own original.
    """

    people: int
    changed: int
    right: int

    def __str__(self) -> str:
        return f"{self.right} of {self.changed} changed photos of {self.people} people are closest to their own"


def check_separation(faces: FaceService, photos: Iterable[tuple[str, bytes]], max_pixels: int) -> Separation:
    """Check the embedder. photos: person and content of each; the first of a person that shows a face counts.
    max_pixels: most pixels of a photo, as for faces.

    Raises OperatorError if there are not two people, or the model does not separate them.
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
        for variant in variants(data, max_pixels).values():
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
    found = Separation(len(originals), len(changed), right)
    if right < MIN_RIGHT * len(changed):
        raise OperatorError(
            f"the model does not tell people apart as it is described: only {found}; check --channels, --mean, --scale"
        )
    return found
