"""Which detection passes and scouts run and which rotation is chosen, with a fake detector."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.vision import rotations
from worker.vision.geometry import TEMPLATE, CropScores, Detection, roll, rotate, rotated_thumbnail
from worker.vision.passes import COARSE_SIDE, LEAST_SCORE, SIDE
from worker.vision.refinement import BLURRED_SCORE, LEAST_SCORE_SUM, SURE_REFINED, SURE_SCORE_SUM
from worker.vision.rotations import (
    LEAD,
    LEAST_SCOUT,
    LEAST_SMALL_SCOUT,
    LEAST_TRACE,
    MOST_ROTATED,
    MOST_SMALL,
    ROTATIONS,
    SCOUT_SIDE,
    SMALL_SCOUT_SIDE,
)

LARGE, SMALL = 60.0, 20.0
COARSE, FULL = COARSE_SIDE, SIDE


def photo(width=300, height=200):
    """Return a black photo with a white spot half-way from the centre to the right, which shows its rotation."""
    image = np.zeros((height, width, 3), np.uint8)
    cv2.circle(image, (width * 3 // 4, height // 2), height // 20, (255, 255, 255), -1)
    return image


def rotation_of(image):
    """Return the degrees by which a photo was rotated counter-clockwise, 0 to 345, a multiple of 15."""
    rows, columns = np.nonzero(image[..., 0] > 127)
    x, y = columns.mean() - (image.shape[1] - 1) / 2, rows.mean() - (image.shape[0] - 1) / 2
    return round(np.degrees(np.arctan2(-y, x)) / 15) * 15 % 360


class FakeDetector:
    """Finds one face with the score and size given for (degrees, side), and records its passes. `refined` has the
    refined score by the first score, which is kept if it is not there. `scouts` has the best score by degrees and side
    of a scout, without which it is that of the face that a pass finds there.
    """

    def __init__(self, faces, refined=None, crop_score=1.0, scouts=None):
        self.faces = faces
        self.passes = []
        self.scouted = []
        self.scouts = scouts or {}
        self.scores = refined or {}
        self.crop_score = crop_score
        self.refined = []

    def refine(self, _image, detections):
        self.refined.extend(detections)
        return [replace(face, refined_score=self.scores.get(face.score, face.score)) for face in detections]

    def score_crops(self, _image, detections):
        return [CropScores(*[self.crop_score] * 3) for _ in detections]

    def best_scores(self, images):
        assert images, "a detector needs at least one image"
        found = []
        for image in images:
            at = degrees, side = (rotation_of(image), image.shape[0])
            self.scouted.append(at)
            score, size = self.faces.get((degrees, COARSE if side == SCOUT_SIDE else FULL), (0.0, LARGE))
            found.append(self.scouts.get(at, score if size == LARGE or side > SCOUT_SIDE else 0.0))
        return found

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
    return rotations.choose_passes(detector, image, LEAST_SCORE)


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
        # A low score: the rotation in which a scout shows a large face. With a high score it needs no full pass.
        (both(0, 0.89) | both(90, 0.94), [(0, COARSE), (90, COARSE)]),
        # A small face needs no coarse pass.
        (both(270, 0.95, SMALL), [(0, COARSE), (0, FULL), (270, FULL)]),
        # No face in any rotation: no rotated pass.
        ({}, [(0, COARSE), (0, FULL)]),
    ],
)
def test_passes_of_a_search(faces, passes):
    detector = FakeDetector(faces)
    choose_passes(detector, photo()).most_prominent()
    assert sorted(set(detector.passes)) == sorted(passes)


def scouted(detector, side):
    return {degrees for degrees, at in detector.scouted if at == side}


def test_scouts_look_only_where_a_face_may_still_be():
    for faces, scouts, large, small in [
        # Surely upright, or upside down at most.
        (both(0, 0.95), {}, set(), set()),
        (both(0, 0.91), {}, {180}, {180}),
        (both(0, 0.91), {(180, SMALL_SCOUT_SIDE): LEAST_TRACE}, {180}, {180}),
        # A large face.
        (both(90, 0.95), {}, set(QUARTERS_AND_EIGHTHS), set()),
        # Nothing at all: no eighths.
        ({}, {}, set(QUARTERS_AND_EIGHTHS), {90, 180, 270}),
        ({}, {(90, SMALL_SCOUT_SIDE): LEAST_TRACE - 0.01}, set(QUARTERS_AND_EIGHTHS), {90, 180, 270}),
        # A trace of a face in a quarter turn.
        ({}, {(90, SMALL_SCOUT_SIDE): LEAST_TRACE}, set(QUARTERS_AND_EIGHTHS), set(QUARTERS_AND_EIGHTHS)),
    ]:
        detector = FakeDetector(faces, scouts=scouts)
        choose_passes(detector, photo()).most_prominent()
        assert scouted(detector, SCOUT_SIDE) == large
        assert scouted(detector, SMALL_SCOUT_SIDE) == small
        assert len(detector.scouted) == len(large) + len(small), "no scout looks twice"


def test_a_small_face_is_found_where_a_scout_shows_little_of_it():
    for score, is_found in ((LEAST_SMALL_SCOUT, True), (LEAST_SMALL_SCOUT - 0.01, False)):
        detector = FakeDetector({(90, FULL): (0.9, SMALL)}, scouts={(90, SMALL_SCOUT_SIDE): score})
        assert (choose_passes(detector, photo()).most_prominent() is not None) is is_found


def test_a_scout_that_scores_nearly_as_much_may_be_right():
    for behind, degrees in ((LEAD - 0.001, 45), (LEAD + 0.001, 90)):
        scouts = {(90, SCOUT_SIDE): 0.95, (45, SCOUT_SIDE): 0.95 - behind}
        found = choose_passes(FakeDetector(both(90, 0.91) | both(45, 0.94), scouts=scouts), photo())
        assert found.degrees == degrees


def test_the_worst_picture_is_passed_over_in_few_rotations():
    for side, score, most, sides in (
        (SCOUT_SIDE, LEAST_SCOUT, MOST_ROTATED, {COARSE, FULL}),
        (SMALL_SCOUT_SIDE, 0.9, MOST_SMALL, {FULL}),
    ):
        # Scouts show a face in every rotation, and passes none.
        detector = FakeDetector({}, scouts={(degrees, side): score for degrees in QUARTERS_AND_EIGHTHS})
        assert choose_passes(detector, photo()).most_prominent() is None
        rotated = [at for at in detector.passes if at[0]]
        assert len({degrees for degrees, _ in rotated}) == most
        assert len(rotated) == most * len(sides)


def test_a_rotation_that_cannot_be_more_certain_is_not_refined():
    # Refined scores stay below 0.96, so the face at 0.91 cannot reach 0.95 + 0.95.
    detector = FakeDetector(both(90, 0.95) | both(45, 0.91))
    assert choose_passes(detector, photo()).degrees == 90
    assert [face.score for face in detector.refined] == [0.95]


def test_no_pass_runs_twice():
    for faces in ({}, both(0, 0.95), both(0, 0.85) | both(270, 0.95), both(45, 0.85, SMALL)):
        detector = FakeDetector(faces)
        found = choose_passes(detector, photo(1200, 800))
        found.most_prominent()
        found.all_faces()
        assert len(detector.passes) == len(set(detector.passes)) <= 2 * (1 + MOST_ROTATED)
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

    def best_scores(self, images):
        return [0.0] * len(images)

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
    found = rotations.choose_passes(
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
    searched = rotations.choose_passes(Several(coarse, full), photo(320, 200), LEAST_SCORE).most_prominent()
    added = rotations.choose_passes(Several(coarse, full), photo(320, 200), LEAST_SCORE).all_faces()
    assert searched.box in [one.box for one in added]


@pytest.mark.slow
@given(st.sets(st.integers(0, 3)), SIZES)
def test_the_face_of_a_search_is_one_of_an_add_with_false_candidates(false, sizes):
    faces = [face(90, 100, sizes[0]), face(230, 100, sizes[1]), face(91, 100, sizes[2]), face(231, 100, sizes[3])]
    several = Several(faces[:2], faces[2:], [faces[number] for number in false])
    searched = rotations.choose_passes(several, photo(320, 200), LEAST_SCORE).most_prominent()
    added = rotations.choose_passes(several, photo(320, 200), LEAST_SCORE).all_faces()
    assert (searched is None) == (not added)
    assert searched is None or searched.box in [one.box for one in added]


def test_candidates_with_low_scores_are_doubtful_and_no_faces():
    faint = face(100, 100, 30, LEAST_SCORE - 0.1)
    seen = rotations.choose_passes(Several([], [faint]), photo(320, 200), LEAST_SCORE)
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


@pytest.mark.parametrize("size", [(300, 200), (200, 300), (90, 90), (320, 40)])
@pytest.mark.parametrize("degrees", [0, *QUARTERS_AND_EIGHTHS])
def test_a_thumbnail_shows_the_whole_rotated_image_in_the_middle_of_a_square(degrees, size):
    thumbnail = rotated_thumbnail(np.full((size[1], size[0], 3), 255, np.uint8), degrees, 160)
    assert thumbnail.shape == (160, 160, 3)
    rows, columns = np.nonzero(thumbnail[..., 0] > 60)
    height, width = rotate(np.zeros((size[1], size[0], 3), np.uint8), degrees)[0].shape[:2]
    for found, length in ((rows, height), (columns, width)):
        assert np.ptp(found) + 1 == pytest.approx(160 * length / max(height, width), abs=3)
        assert found.min() + found.max() == pytest.approx(159, abs=1)


@pytest.mark.parametrize("degrees", QUARTERS_AND_EIGHTHS)
def test_a_thumbnail_is_rotated_as_a_rotated_pass_is(degrees):
    assert rotation_of(rotated_thumbnail(photo(), degrees, 160)) == rotation_of(rotate(photo(), degrees)[0]) == degrees
