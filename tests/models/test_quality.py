"""The quality of portraits, measured by the whole pipeline."""

import base64

import cv2
import pytest

from gateway.openapi.portrait import BASE64
from portraits import astronaut_png, crop, darken, hopper_jpeg, jpeg, pixels, png, reencode, rotate, scale
from shared.contract import Flaw
from worker.vision.geometry import align
from worker.vision.quality import STANDARD, STRICT, Quality, measure
from worker.vision.service import Face, FaceService

pytestmark = pytest.mark.slow

PEOPLE = {"astronaut": astronaut_png(), "hopper": hopper_jpeg()}
STILL_FINE = {
    "jpeg 20": lambda photo: reencode(photo, 20),
    "turned 30 degrees": lambda photo: rotate(photo, 30),
    "dark": lambda photo: darken(photo, 0.2),
    "a quarter of the size": lambda photo: scale(photo, 0.25),
    "somewhat blurred": lambda photo: blurred(photo, 3),
    "cropped": lambda photo: crop(photo, 60, 20, 420, 400),
}


def blurred(photo: bytes, sigma: float) -> bytes:
    return png(cv2.GaussianBlur(pixels(photo), (0, 0), sigma))


def bright(photo: bytes, factor: float) -> bytes:
    return png(cv2.convertScaleAbs(pixels(photo), alpha=factor))


@pytest.mark.parametrize("person", PEOPLE)
def test_portraits_pass_every_gate(faces: FaceService, person: str) -> None:
    assert STRICT.flaw(faces.embed_most_prominent(PEOPLE[person]).quality) is None


def test_the_example_image_of_the_openapi_document_passes_every_gate(faces: FaceService) -> None:
    own, example = faces.embed_most_prominent(hopper_jpeg()), faces.embed_most_prominent(base64.b64decode(BASE64))
    assert STRICT.flaw(example.quality) is None
    assert own.vector @ example.vector > 0.9
    assert len(faces.embed_all(base64.b64decode(BASE64))) == 1


@pytest.mark.parametrize("change", STILL_FINE)
@pytest.mark.parametrize("person", PEOPLE)
def test_photos_that_a_search_still_recognises_pass(faces: FaceService, person: str, change: str) -> None:
    own, changed = (faces.embed_most_prominent(photo) for photo in (PEOPLE[person], STILL_FINE[change](PEOPLE[person])))
    assert own.vector @ changed.vector > 0.465
    assert STANDARD.flaw(changed.quality) is None


@pytest.mark.parametrize("person", PEOPLE)
def test_a_blur_of_a_fourteenth_of_the_face_is_a_flaw(faces: FaceService, person: str) -> None:
    small = scale(PEOPLE[person], 110 / faces.embed_most_prominent(PEOPLE[person]).quality.size)
    assert STANDARD.flaw(faces.embed_most_prominent(small).quality) is None
    assert STANDARD.flaw(faces.embed_most_prominent(blurred(small, 8)).quality) is Flaw.BLUR
    assert STRICT.flaw(faces.embed_most_prominent(png(cv2.blur(pixels(small), (25, 25)))).quality) is Flaw.BLUR


@pytest.mark.parametrize("person", PEOPLE)
def test_a_face_of_20_pixels_is_a_flaw(faces: FaceService, person: str) -> None:
    tiny = scale(PEOPLE[person], 20 / faces.embed_most_prominent(PEOPLE[person]).quality.size)
    assert STANDARD.flaw(faces.embed_most_prominent(tiny).quality) is Flaw.SIZE


@pytest.mark.parametrize("person", PEOPLE)
def test_size_is_that_in_the_photo_as_it_was_sent(faces: FaceService, person: str) -> None:
    own = faces.embed_most_prominent(PEOPLE[person]).quality.size
    for factor in (2.6, 5):  # decoded at half and at a quarter of the size
        sent = jpeg(pixels(scale(PEOPLE[person], factor)))
        assert faces.embed_most_prominent(sent).quality.size == pytest.approx(own * factor, rel=0.08)


@pytest.mark.parametrize("person", PEOPLE)
def test_blur_lowers_sharpness_while_light_and_size_hardly_change_it(faces: FaceService, person: str) -> None:
    def shown(photo: bytes) -> Face:
        return faces.embed_most_prominent(photo)

    own = shown(PEOPLE[person]).quality.sharpness
    steps = [shown(blurred(PEOPLE[person], sigma)).quality.sharpness for sigma in (2, 5, 8)]
    assert sorted([own, *steps], reverse=True) == [own, *steps]
    for changed in (darken(PEOPLE[person], 0.4), scale(PEOPLE[person], 0.6), scale(PEOPLE[person], 2)):
        assert shown(changed).quality.sharpness == pytest.approx(own, rel=0.12)


@pytest.mark.parametrize("person", PEOPLE)
def test_light_changes_exposure(faces: FaceService, person: str) -> None:
    # The face is detected in the unchanged photo: at 0.06 of the light one of the two is not found.
    face = faces.embed_most_prominent(PEOPLE[person]).detection

    def shown(photo: bytes) -> Quality:
        return measure(face, align(pixels(photo), face.landmarks), 1)

    darks = [shown(darken(PEOPLE[person], by)).dark for by in (1, 0.1, 0.06)]
    brights = [shown(bright(PEOPLE[person], by)).bright for by in (1, 1.5, 2)]
    for shares in (darks, brights):
        assert sorted(shares) == shares
        assert shares[0] < 0.05
        assert shares[-1] > 0.15


def test_every_face_of_an_image_has_a_quality_of_its_own(faces: FaceService) -> None:
    left, right = pixels(hopper_jpeg()), pixels(astronaut_png())
    both = png(cv2.hconcat([left[:512], cv2.GaussianBlur(right, (0, 0), 6)]))
    assert [STANDARD.flaw(face.quality) for face in faces.embed_all(both)] == [None, Flaw.BLUR]
