"""Which faces of a stored person are like a face."""

import uuid

import numpy as np
import pytest

from worker.alike import faces_alike
from worker.store.base import Face, Point

ID, OTHER, THIRD = (uuid.UUID(int=number) for number in (1, 2, 3))
X, Y = np.eye(4, dtype=np.float32)[:2]


def test_the_faces_of_a_person_are_ordered_by_how_alike_they_are_and_then_by_id() -> None:
    point = Point(ID, "", X, faces=(Face(THIRD, Y), Face(OTHER, X), Face(ID, Y)))
    assert faces_alike(point, np.float32([0.6, 0.8, 0, 0])) == [
        (pytest.approx(0.8), ID),
        (pytest.approx(0.8), THIRD),
        (pytest.approx(0.6), OTHER),
    ]


def test_a_person_of_whom_only_the_vector_is_known_has_one_face_with_its_id() -> None:
    assert faces_alike(Point(ID, "", X), X) == [(1, ID)]
