"""Two people and altered photos of them: who is who must survive the changes."""

import numpy as np
import pytest

from portraits import (
    astronaut_png,
    bmp,
    crop,
    crowd,
    darken,
    faceless_png,
    hopper_jpeg,
    jpeg,
    oriented,
    pixels,
    png,
    reencode,
    rotate,
    scale,
    side_by_side,
)
from shared.contract import MAX_ADDED
from shared.errors import FaceNotDetected
from worker.models.catalog import calibration_of
from worker.vision import geometry

pytestmark = pytest.mark.slow

PEOPLE = {"astronaut": astronaut_png(), "hopper": hopper_jpeg()}
CHANGES = {
    "jpeg 60": reencode,
    "jpeg 20": lambda photo: reencode(photo, 20),
    "progressive": lambda photo: jpeg(pixels(photo), progressive=True),
    "bmp": lambda photo: bmp(pixels(photo)),
    "turned 5 degrees": lambda photo: rotate(photo, 5),
    "turned -12 degrees": lambda photo: rotate(photo, -12),
    "turned 30 degrees": lambda photo: rotate(photo, 30),
    "darker": darken,
    "half the size": lambda photo: scale(photo, 0.5),
    "twice the size": lambda photo: scale(photo, 2),
    "reduced while decoded": lambda photo: jpeg(pixels(scale(photo, 2.6))),
    "cropped": lambda photo: crop(photo, 60, 20, 420, 400),
    "grey": lambda photo: png(pixels(photo).mean(axis=2).astype(np.uint8)),
}


@pytest.fixture(scope="module")
def confidence(faces, weights):
    """Confidence that the most prominent faces of two pictures are one person's."""

    def measure(a, b):
        cosine = float(faces.embed_most_prominent(a).vector @ faces.embed_most_prominent(b).vector)
        return calibration_of(weights.entry).confidence(cosine)

    return measure


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("person", PEOPLE)
def test_the_same_person_stays_above_95(confidence, person, change):
    photo = PEOPLE[person]
    assert confidence(photo, CHANGES[change](photo)) >= 95


def test_the_same_photo_is_100(confidence):
    assert confidence(astronaut_png(), astronaut_png()) == 100


def test_two_people_stay_below_80(confidence):
    assert confidence(astronaut_png(), hopper_jpeg()) < 80


@pytest.mark.parametrize("order", [("hopper", "astronaut"), ("astronaut", "hopper")])
def test_several_faces_come_from_left_to_right(faces, order):
    found = faces.embed_all(side_by_side(*[PEOPLE[name] for name in order]))
    assert len(found) == 2
    assert found[0].detection.box[0] < found[1].detection.box[0]
    for face, name in zip(found, order, strict=True):
        alone = faces.embed_most_prominent(PEOPLE[name]).vector
        assert face.vector @ alone > 0.9
        assert np.linalg.norm(face.vector) == pytest.approx(1, abs=1e-6)


def test_the_most_prominent_is_the_larger_face(faces):
    found = faces.embed_most_prominent(side_by_side(astronaut_png(), hopper_jpeg()))
    assert found.vector @ faces.embed_most_prominent(hopper_jpeg()).vector > 0.9


def test_as_many_faces_as_can_be_added_at_once_are_found(faces):
    """Through a service it is a matter of the machine's pace and load: docs/reliability.md has figures."""
    assert [face.number for face in faces.embed_all(crowd(MAX_ADDED))] == list(range(MAX_ADDED))


@pytest.mark.parametrize(
    "picture", [faceless_png(), png(np.full((200, 300, 3), 127, np.uint8)), png(np.zeros((1, 1, 3), np.uint8))]
)
def test_a_picture_without_a_face(faces, picture):
    with pytest.raises(FaceNotDetected):
        faces.embed_all(picture)


def turned_by(photo, degrees):
    """With all of it kept: quarters as they are, else in a larger picture with black corners."""
    return jpeg(geometry.rotate(pixels(photo), degrees)[0])


@pytest.mark.parametrize("degrees", [90, 180, 270, 30, -30, 45, -45])
@pytest.mark.parametrize("person", PEOPLE)
def test_whichever_way_up_a_photo_comes_it_is_the_same_person(confidence, person, degrees):
    assert confidence(PEOPLE[person], turned_by(PEOPLE[person], degrees)) >= 95


@pytest.mark.parametrize("degrees", [90, 180, 270, 45])
@pytest.mark.parametrize("person", PEOPLE)
def test_a_turned_photo_is_enrolled_as_it_is_searched_for(faces, person, degrees):
    photo = turned_by(PEOPLE[person], degrees)
    (enrolled,) = faces.embed_all(photo)
    assert enrolled.vector @ faces.embed_most_prominent(photo).vector > 0.999999


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_faces_of_a_turned_photo_come_from_left_to_right_as_they_are_seen_upright(faces, degrees):
    found = faces.embed_all(turned_by(side_by_side(*PEOPLE.values()), degrees))
    assert len(found) == 2
    for face, photo in zip(found, PEOPLE.values(), strict=True):
        assert face.vector @ faces.embed_most_prominent(photo).vector > 0.9


def test_a_small_face_in_a_large_photo_is_found(confidence):
    small = pixels(scale(hopper_jpeg(), 0.11))
    wide = np.full((800, 1200, 3), 127, np.uint8)
    wide[300 : 300 + small.shape[0], 500 : 500 + small.shape[1]] = small
    assert confidence(png(wide), hopper_jpeg()) >= 95


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("person", PEOPLE)
def test_a_photo_is_the_same_whichever_way_it_is_stored(confidence, person, orientation):
    upright = pixels(PEOPLE[person])
    # JPEG rounds in blocks, which lie differently in a turned picture, and landmarks move with the least change.
    assert confidence(oriented(upright, 1), oriented(upright, orientation)) >= 99
