"""The faces of a person, and the vector by which the person is found.

Of one face it is that face's vector, so that the same photo has a cosine of 1; of several it is their mean at unit
length. Pure functions: the stores keep what these return.
"""

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from worker.store.base import Face, Point, Vector

LEAST_MEAN: Final = 0.01
"""Least length of a mean whose direction says anything: float32 vectors leave it an error of 1e-5 there. The mean of
photos of one person has a length above 0.5, that of a hundred random vectors of 128 numbers 0.1."""


class FacesOpposed(Exception):
    """The vectors of the faces cancel each other out, so that their mean has no direction."""


def faces_of(point: Point) -> tuple[Face, ...]:
    """Return the faces of a point, at least one."""
    return point.faces or (Face(point.person_id, point.vector, point.added),)


def with_faces(point: Point, faces: Iterable[Face]) -> Point:
    """Return the point with these faces, at least one, in place of its own. They are in the order of their times and
    ids, so that the same faces give the same vector, in whichever order they came. Raises FacesOpposed.
    """
    ordered = tuple(sorted(faces, key=lambda face: (face.added or 0, face.face_id)))
    return replace(point, vector=searched_vector([face.vector for face in ordered]), faces=ordered)


def without_face(point: Point, face_id: uuid.UUID) -> Point | None:
    """Return the point without a face; None if it has no other one. Raises FacesOpposed."""
    left = [face for face in faces_of(point) if face.face_id != face_id]
    return with_faces(point, left) if left else None


def searched_vector(vectors: Sequence[Vector]) -> Vector:
    """Return the vector by which a person with these faces is found. vectors: each of unit length; one or more. Raises
    FacesOpposed.
    """
    if len(vectors) == 1:
        return vectors[0]
    total = np.zeros_like(vectors[0], np.float64)
    for vector in vectors:  # one after the other: a sum by NumPy may have another order on another machine
        total += vector
    length = float(np.sqrt((total * total).sum()))
    if length < LEAST_MEAN * len(vectors):
        raise FacesOpposed
    return (total / length).astype(np.float32)
