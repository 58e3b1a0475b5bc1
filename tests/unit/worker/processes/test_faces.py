"""Faces as fields and bytes of a message."""

import json

import numpy as np
import pytest

from worker.processes.faces import from_fields, quality_from_list, quality_to_list, to_fields
from worker.processes.messages import MessageError
from worker.vision.geometry import Detection
from worker.vision.quality import Quality
from worker.vision.service import Face

RNG = np.random.default_rng(3)
QUALITY = Quality(110.5, 0.8, 0.01, 0.02, -3.5, 7.25)


def face(number, refined_score=0.95):
    landmarks = RNG.normal(size=(5, 2)).astype(np.float32)
    detection = Detection((1.5, -2.25, 30.125, 40.0), landmarks, 0.9, refined_score)
    return Face(detection, RNG.normal(size=128).astype(np.float32), QUALITY, number, 4)


@pytest.mark.parametrize("faces", [[], [face(0)], [face(2), face(5, None)]])
def test_faces_come_back_bit_by_bit(faces):
    fields, data = to_fields(faces)
    found = from_fields(json.loads(json.dumps(fields)), data)
    assert len(found) == len(faces)
    for ours, theirs in zip(faces, found, strict=True):
        assert (theirs.number, theirs.quality, theirs.box) == (ours.number, ours.quality, ours.box)
        assert theirs.detection.box == ours.detection.box
        assert (theirs.detection.score, theirs.detection.refined_score) == (0.9, ours.detection.refined_score)
        np.testing.assert_array_equal(theirs.detection.landmarks, ours.detection.landmarks)
        np.testing.assert_array_equal(theirs.vector, ours.vector)
        assert theirs.vector.dtype == theirs.detection.landmarks.dtype == np.float32


def test_a_quality_comes_back():
    assert quality_from_list(quality_to_list(QUALITY)) == QUALITY


def without(name):
    fields, data = to_fields([face(0)])
    del fields["faces"][0][name]
    return fields, data


@pytest.mark.parametrize(
    ("fields", "data"),
    [
        ({}, b""),
        ({"faces": 3}, b""),
        ({"faces": [None]}, b"\0" * 200),
        (to_fields([face(0)])[0], b""),
        (to_fields([face(0)])[0], b"123"),
        (to_fields([face(0)])[0], b"\0" * 20),
        (to_fields([face(0), face(1)])[0], to_fields([face(0)])[1][:-4]),
        *(without(name) for name in ("box", "scores", "quality", "number", "reduction")),
    ],
)
def test_malformed_faces_are_an_error(fields, data):
    with pytest.raises(MessageError):
        from_fields(fields, data)


@pytest.mark.parametrize("values", [None, 3, [1, 2], [1, 2, 3, 4, 5, "x"], [None] * 6])
def test_a_malformed_quality_is_an_error(values):
    with pytest.raises(MessageError):
        quality_from_list(values)
