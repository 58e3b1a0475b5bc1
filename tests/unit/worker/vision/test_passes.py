"""Which detection passes run and which rotation is chosen, with a fake detector."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.vision import passes
from worker.vision.geometry import TEMPLATE, CropScores, Detection, roll, rotate
from worker.vision.passes import COARSE_SIDE, LEAST_SCORE, ROTATIONS, SIDE
from worker.vision.refinement import BLURRED_SCORE, LEAST_SCORE_SUM, SURE_REFINED, SURE_SCORE_SUM

LARGE, SMALL = 60.0, 20.0
COARSE, FULL = COARSE_SIDE, SIDE


def photo(width=300, height=200):
    """Return a black photo with a white spot half-way from the centre to the right, which shows its rotation."""
    image = np.zeros((height, width, 3), np.uint8)
    cv2.circle(image, (width * 3 // 4, height // 2), height // 20, (255, 255, 255), -1)
    return image


def rotation_of(image):
    """Return the degrees by which a photo was rotated counter-clockwise, 0 to 359."""
    rows, columns = np.nonzero(image[..., 0] > 127)
    x, y = columns.mean() - (image.shape[1] - 1) / 2, rows.mean() - (image.shape[0] - 1) / 2
    return round(np.degrees(np.arctan2(-y, x))) % 360


class FakeDetector:
    """Finds one face with the score and size given for (degrees, side), and records its passes. `refined` has the
    refined score by the first score, which is kept if it is not there.
    """

    def __init__(self, faces, refined=None, crop_score=1.0):
        self.faces = faces
        self.passes = []
        self.scores = refined or {}
        self.crop_score = crop_score
        self.refined = []

    def refine(self, _image, detections):
        self.refined.extend(detections)
        return [replace(face, refined_score=self.scores.get(face.score, face.score)) for face in detections]

    def score_crops(self, _image, detections):
        return [CropScores(*[self.crop_score] * 3) for _ in detections]

    def detect(self, image, side):
        at = (rotation_of(image), side)
        self.passes.append(at)
        if at not in self.faces:
            return []
        score, size = self.faces[at]
        unit = max(image.shape[:2]) / 300
        middle = (np.array(image.shape[1::-1]) - 1) / 2
        box = (*(middle - size * unit / 2).tolist(), size * unit, size * unit)
        landmarks = (TEMPLATE - TEMPLATE.mean(axis=0)) * np.float32(size * unit / 112) + middle.astype(np.float32)
        return [Detection(box, landmarks.astype(np.float32), score)]


def choose_passes(detector, image):
    return passes.choose_passes(detector, image, LEAST_SCORE)


def both(degrees, score, size=LARGE):
    return {(degrees, COARSE): (score, size), (degrees, FULL): (score, size)}


QUARTERS_AND_EIGHTHS = [turn.degrees for turn in ROTATIONS]


@pytest.mark.parametrize(
    ("faces", "passes"),
    [
        # A high score upright: no rotated pass.
        (both(0, 0.95), [(0, COARSE)]),
        (both(0, 0.92), [(0, COARSE)]),
        (both(0, 0.95, SMALL), [(0, COARSE), (0, FULL)]),
        ({(0, FULL): (0.95, SMALL)}, [(0, COARSE), (0, FULL)]),
        # A lower score: the photo may be upside down.
        (both(0, 0.91) | both(180, 0.94), [(0, COARSE), (180, COARSE)]),
        # A low score: all rotations; a large face with a high score needs no full pass.
        (both(0, 0.89) | both(90, 0.94), [(0, COARSE), *((turn, COARSE) for turn in QUARTERS_AND_EIGHTHS)]),
    ],
)
def test_passes_of_a_search(faces, passes):
    detector = FakeDetector(faces)
    choose_passes(detector, photo()).most_prominent()
    assert sorted(set(detector.passes)) == sorted(passes)


def test_full_passes_run_in_every_rotation_if_no_large_face_is_found():
    detector = FakeDetector(both(90, 0.95, SMALL))
    choose_passes(detector, photo()).most_prominent()
    assert set(detector.passes) == {(turn, side) for turn in (0, *QUARTERS_AND_EIGHTHS) for side in (COARSE, FULL)}


def test_no_pass_runs_twice():
    for faces in ({}, both(0, 0.95), both(0, 0.85) | both(270, 0.95), both(45, 0.85, SMALL)):
        detector = FakeDetector(faces)
        found = choose_passes(detector, photo(1200, 800))
        found.most_prominent()
        found.all_faces()
        assert len(detector.passes) == len(set(detector.passes)) <= 2 * (1 + len(ROTATIONS))
        assert len(detector.refined) == len(set(detector.refined))


def test_threads_do_not_wait_for_each_other():
    both_are_in = threading.Barrier(2, timeout=10)

    class Waiting(FakeDetector):
        def detect(self, image, side):
            both_are_in.wait()
            return super().detect(image, side)

    with ThreadPoolExecutor(2) as threads:
        found = list(
            threads.map(lambda image: choose_passes(Waiting(both(0, 0.95)), image).most_prominent(), [photo(), photo()])
        )
    assert None not in found


@pytest.mark.parametrize("degrees", [0, *QUARTERS_AND_EIGHTHS])
def test_the_rotation_with_the_highest_refined_score_is_chosen(degrees):
    faces = {at: face for turn in (0, *QUARTERS_AND_EIGHTHS) for at, face in both(turn, 0.85).items()}
    found = choose_passes(FakeDetector(faces | both(degrees, 0.95)), photo()).most_prominent()
    assert found.score == 0.95
    # Rotating the photo counter-clockwise made the face upright.
    assert abs((roll(found.landmarks) + degrees + 180) % 360 - 180) < 0.01


def test_the_photo_as_it_comes_is_preferred_at_equal_scores():
    faces = {at: face for turn in (0, *QUARTERS_AND_EIGHTHS) for at, face in both(turn, 0.85).items()}
    found = choose_passes(FakeDetector(faces), photo()).most_prominent()
    assert roll(found.landmarks) == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize("size", [(300, 200), (1200, 800), (2000, 3000)])
@pytest.mark.parametrize("degrees", QUARTERS_AND_EIGHTHS)
def test_faces_of_rotated_passes_are_in_coordinates_of_the_photo(degrees, size):
    found = choose_passes(FakeDetector(both(degrees, 0.95)), photo(*size)).most_prominent()
    # The face is in the centre in every rotation.
    np.testing.assert_allclose(found.centre, (np.array(size) - 1) / 2, atol=0.004 * max(size))
    np.testing.assert_allclose(found.landmarks.mean(axis=0), found.centre, atol=0.01 * found.box[2])
    across = rotate(np.zeros((size[1], size[0], 3), np.uint8), degrees)[0].shape
    assert found.box[2] == pytest.approx(LARGE * max(across[:2]) / 300, rel=0.01)


@pytest.mark.parametrize("faces", [{}, both(0, 0.95), both(0, 0.85) | both(90, 0.95), {(180, FULL): (0.95, SMALL)}])
def test_an_add_finds_the_face_of_a_search(faces):
    searched = choose_passes(FakeDetector(faces), photo()).most_prominent()
    added = choose_passes(FakeDetector(faces), photo()).all_faces()
    assert [face.box for face in added] == ([] if searched is None else [searched.box])
    for face in added:
        np.testing.assert_array_equal(face.landmarks, searched.landmarks)


def test_an_add_chooses_the_rotation_by_the_passes_of_a_search():
    # The full pass, which a search does not run here, would choose upright.
    detector = {(0, COARSE): (0.85, LARGE), (0, FULL): (0.95, LARGE)} | both(90, 0.92)
    (found,) = choose_passes(FakeDetector(detector), photo()).all_faces()
    assert roll(found.landmarks) == pytest.approx(-90, abs=0.01)


@pytest.mark.parametrize(
    ("upright", "upside_down", "degrees"),
    [((0.89, 0.89), (0.88, 0.92), 180), ((0.919, 0.906), (0.862, 0.907), 0)],
    ids=["the refined score decides", "the first score decides"],
)
def test_the_rotation_is_chosen_by_both_scores(upright, upside_down, degrees):
    # Either score alone of a masked face may be slightly higher upside down.
    detector = FakeDetector(both(0, upright[0]) | both(180, upside_down[0]), refined=dict([upright, upside_down]))
    found = choose_passes(detector, photo()).most_prominent()
    assert abs(roll(found.landmarks)) == pytest.approx(degrees, abs=0.01)


def test_a_candidate_with_too_low_a_refined_score_is_no_face():
    too_little = {0.85: LEAST_SCORE_SUM - 0.85 - 0.01, 0.95: SURE_SCORE_SUM - 0.95 - 0.01}
    detector = FakeDetector(both(0, 0.85) | both(90, 0.95), refined=too_little)
    seen = choose_passes(detector, photo())
    assert seen.most_prominent() is None
    assert seen.all_faces() == []
    assert seen.certainty == 0
    assert seen.count == 0


@pytest.mark.parametrize("degrees", [0, 90, 45])
def test_a_candidate_with_low_crop_scores_is_no_face_in_either_call(degrees):
    for crop_score, is_face in ((1.0, True), (0.5, False)):
        seen = choose_passes(FakeDetector(both(degrees, 0.88), refined={0.88: 0.89}, crop_score=crop_score), photo())
        assert [seen.most_prominent() is not None, len(seen.all_faces()), seen.count] == [is_face] * 3


@pytest.mark.parametrize(("degrees", "least"), [(0, LEAST_SCORE_SUM - 0.85), (180, SURE_REFINED), (45, SURE_REFINED)])
def test_a_face_in_a_rotated_pass_needs_a_higher_score(degrees, least):
    found = [
        choose_passes(FakeDetector(both(degrees, 0.85), refined={0.85: score}), photo()).most_prominent()
        for score in (least + 1e-9, least - 0.01)
    ]
    assert [face is not None for face in found] == [True, False]


def test_a_blurred_face_needs_a_high_first_score():
    for score, is_face in ((BLURRED_SCORE, True), (BLURRED_SCORE - 0.01, False)):
        seen = choose_passes(FakeDetector(both(0, score), refined={score: 0.0}), photo())
        assert (seen.most_prominent() is not None) is is_face


class Several:
    """Finds the given faces for each side in a photo that is not rotated. false: faces that refinement does not find
    again.
    """

    def __init__(self, coarse, full, false=()):
        self.found = {COARSE: coarse, FULL: full}
        self.false = {face.box for face in false}

    def detect(self, image, side):
        return [] if rotation_of(image) else self.found[side]

    def refine(self, _image, detections):
        return [replace(face, refined_score=0.0 if face.box in self.false else 0.95) for face in detections]

    def score_crops(self, _image, detections):
        return [CropScores(1, 1, 1) for _ in detections]


def face(x, y, size, score=0.85):
    box = (x - size / 2, y - size / 2, size, size)
    landmarks = (TEMPLATE - TEMPLATE.mean(axis=0)) * np.float32(size / 112) + np.float32([x, y])
    return Detection(box, landmarks.astype(np.float32), score)


def test_the_next_most_prominent_face_is_taken_if_the_first_is_none():
    poster, person = face(80, 100, 70), face(220, 100, 50)
    found = passes.choose_passes(
        Several([poster, person], [], false=[poster]), photo(320, 200), LEAST_SCORE
    ).most_prominent()
    assert found.box == person.box


# Sides in pixels at COARSE of two faces, both near COARSE_FACE: first in the coarse pass, then in the full pass.
SIZES = st.tuples(*[st.floats(30, 50)] * 4)


@pytest.mark.slow
@given(SIZES, st.floats(60, 260), st.floats(60, 260))
def test_the_face_of_a_search_is_one_of_an_add(sizes, first, second):
    coarse = [face(first, 100, sizes[0]), face(second, 100, sizes[1])]
    full = [face(first, 100, sizes[2]), face(second, 100, sizes[3])]
    searched = passes.choose_passes(Several(coarse, full), photo(320, 200), LEAST_SCORE).most_prominent()
    added = passes.choose_passes(Several(coarse, full), photo(320, 200), LEAST_SCORE).all_faces()
    assert searched.box in [one.box for one in added]


@pytest.mark.slow
@given(st.sets(st.integers(0, 3)), SIZES)
def test_the_face_of_a_search_is_one_of_an_add_with_false_candidates(false, sizes):
    faces = [face(90, 100, sizes[0]), face(230, 100, sizes[1]), face(91, 100, sizes[2]), face(231, 100, sizes[3])]
    several = Several(faces[:2], faces[2:], [faces[number] for number in false])
    searched = passes.choose_passes(several, photo(320, 200), LEAST_SCORE).most_prominent()
    added = passes.choose_passes(several, photo(320, 200), LEAST_SCORE).all_faces()
    assert (searched is None) == (not added)
    assert searched is None or searched.box in [one.box for one in added]


def test_candidates_with_low_scores_are_doubtful_and_no_faces():
    faint = face(100, 100, 30, LEAST_SCORE - 0.1)
    seen = passes.choose_passes(Several([], [faint]), photo(320, 200), LEAST_SCORE)
    assert seen.all_faces() == []
    assert [one.box for one in seen.doubtful()] == [faint.box]


@given(st.integers(1, 60), st.integers(1, 60), st.integers(-360, 360))
def test_a_rotated_image_contains_the_whole_image(width, height, degrees):
    image, matrix = rotate(np.zeros((height, width, 3), np.uint8), degrees)
    corners = np.array([(0, 0), (width - 1, 0), (0, height - 1), (width - 1, height - 1)])
    there = corners @ matrix[:, :2].T + matrix[:, 2]
    assert (there > -1.01).all()
    assert (there < np.array(image.shape[1::-1]) + 0.01).all()


@pytest.mark.parametrize("quarter", range(4))
def test_a_rotation_by_quarters_moves_whole_pixels(quarter):
    image = np.random.default_rng(0).integers(0, 256, (7, 12, 3), dtype=np.uint8)
    np.testing.assert_array_equal(rotate(image, 90 * quarter)[0], np.rot90(image, quarter))
