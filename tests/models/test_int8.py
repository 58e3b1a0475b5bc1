"""SFace in 8 bits: close to fp32, with the same matches."""

import numpy as np
import pytest

from portraits import astronaut_png, darken, hopper_jpeg, pixels, reencode, rotate, scale
from shared.settings import Settings
from worker.models import catalog, files
from worker.vision.arcface import ArcFace
from worker.vision.geometry import align
from worker.vision.passes import SIDE
from worker.vision.service import FaceService
from worker.vision.session import open_session

pytestmark = pytest.mark.slow

PEOPLE = {"astronaut": astronaut_png(), "hopper": hopper_jpeg()}
CHANGES = {
    "jpeg 40": lambda photo: reencode(photo, 40),
    "turned 5 degrees": lambda photo: rotate(photo, 5),
    "darker": darken,
    "half the size": lambda photo: scale(photo, 0.5),
}


@pytest.fixture(scope="module")
def entry():
    return catalog.find("sface-2021dec-int8", "embedding")


@pytest.fixture(scope="module")
def eight_bits(entry):
    return ArcFace(open_session(files.pull(entry, Settings().models_dir, print)), entry)


@pytest.fixture(scope="module")
def faces(yunet, eight_bits):
    return FaceService(yunet, eight_bits)


@pytest.fixture(scope="module")
def confidence(faces, entry):
    def measure(a, b):
        cosine = float(faces.embed_most_prominent(a).vector @ faces.embed_most_prominent(b).vector)
        return catalog.calibration_of(entry).confidence(cosine)

    return measure


def crop(yunet, photo):
    image = pixels(photo)
    return align(image, yunet.detect(image, SIDE)[0].landmarks)


@pytest.mark.parametrize("change", [lambda photo: photo, *CHANGES.values()], ids=["as it is", *CHANGES])
@pytest.mark.parametrize("person", PEOPLE)
def test_vectors_are_close_to_those_of_fp32(yunet, arcface, eight_bits, person, change):
    # The lowest cosine of 3,696 faces was 0.990.
    face = crop(yunet, change(PEOPLE[person]))[None]
    assert float(arcface.embed(face)[0] @ eight_bits.embed(face)[0]) > 0.98


def test_a_batch_equals_single_crops(yunet, eight_bits):
    batch = np.stack([crop(yunet, photo) for photo in PEOPLE.values()] * 2)
    one_by_one = np.concatenate([eight_bits.embed(face[None]) for face in batch])
    assert (eight_bits.embed(batch) * one_by_one).sum(axis=1).min() > 0.9999


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("person", PEOPLE)
def test_altered_photos_of_a_person_stay_above_95(confidence, person, change):
    assert confidence(PEOPLE[person], CHANGES[change](PEOPLE[person])) >= 95


def test_the_same_photo_has_confidence_100(confidence):
    assert confidence(astronaut_png(), astronaut_png()) == 100


def test_two_people_stay_below_80(confidence):
    assert confidence(astronaut_png(), hopper_jpeg()) < 80


def test_the_file_has_a_quarter_of_the_size(weights, entry):
    path = files.prepared_path(entry, Settings().models_dir)
    assert path.stat().st_size < 0.3 * weights.embedder.stat().st_size
