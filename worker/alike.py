"""Which faces of a stored person are like a face."""

import uuid

import numpy as np

from worker.store.base import Point, Vector
from worker.store.faces import faces_of


def faces_alike(point: Point, vector: Vector) -> list[tuple[float, uuid.UUID]]:
    """Return the cosine and the id of each face of a person, that most like the vector first, ties by id."""
    cosines = [(float(np.dot(face.vector, vector)), face.face_id) for face in faces_of(point)]
    return sorted(cosines, key=lambda each: (-each[0], each[1]))
