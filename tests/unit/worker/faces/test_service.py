"""The order of things, with a detector and an embedder that are given."""

import numpy as np
import pytest

from portraits import png
from shared.errors import FaceNotDetected, ImageUnreadable
from worker.faces.geometry import TEMPLATE, Detection
from worker.faces.service import FaceService


def face(x, size):
    return Detection((x, 10.0, size, size), TEMPLATE + np.float32(x), 0.9)


class Seeing:
    """Finds the faces it was told."""

    def __init__(self, *faces):
        self.faces = list(faces)

    def detect(self, _image):
        return self.faces


class Describing:
    """Each crop's unit vector is its own number in the batch; the batches are remembered."""

    size = 112

    def __init__(self):
        self.batches = []

    def embed(self, crops):
        self.batches.append(crops)
        return np.eye(8, dtype=np.float32)[: len(crops)]


IMAGE = png(np.full((200, 300, 3), 100, np.uint8))
RIGHT, LEFT, LARGE = face(200.0, 20.0), face(5.0, 20.0), face(90.0, 60.0)


def test_all_faces_from_left_to_right_in_one_batch():
    describing = Describing()
    faces = FaceService(Seeing(RIGHT, LARGE, LEFT), describing).describe_all(IMAGE)
    assert [f.detection for f in faces] == [LEFT, LARGE, RIGHT]
    assert [crops.shape for crops in describing.batches] == [(3, 112, 112, 3)]
    assert [f.vector.argmax() for f in faces] == [0, 1, 2]


def test_only_the_most_prominent_is_embedded():
    describing = Describing()
    found = FaceService(Seeing(RIGHT, LARGE, LEFT), describing).describe_prominent(IMAGE)
    assert found.detection is LARGE
    assert [len(crops) for crops in describing.batches] == [1]


@pytest.mark.parametrize("method", ["describe_all", "describe_prominent"])
def test_no_face(method):
    with pytest.raises(FaceNotDetected):
        getattr(FaceService(Seeing(), Describing()), method)(IMAGE)


@pytest.mark.parametrize("method", ["describe_all", "describe_prominent"])
def test_no_image(method):
    with pytest.raises(ImageUnreadable):
        getattr(FaceService(Seeing(LEFT), Describing()), method)(b"no image")
