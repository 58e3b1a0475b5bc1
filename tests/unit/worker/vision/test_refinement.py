"""How often faces are refined, how far that may move them, and which candidates are faces."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.vision.geometry import SAME_WITHIN, TEMPLATE, CropScores, Detection, roll
from worker.vision.refinement import (
    BLURRED_SCORE,
    BLURRED_SMALLER,
    CERTAIN_REFINED,
    CERTAIN_SCORE_SUM,
    LEAST_CROP_SCORE,
    MAX_REFINEMENTS,
    REFINEMENT_BATCH,
    averaged_landmarks,
    refine_faces,
    verify_faces,
)

SIDE = 60.0


def face(x):
    return Detection((x, 10.0, SIDE, SIDE), TEMPLATE * np.float32(SIDE / 112) + np.float32([x, 10]), 0.95)


LEFT, MIDDLE, RIGHT = face(5.0), face(90.0), face(200.0)


class RotatingDetector:
    """Rotates MIDDLE about its centre by the next of the given degrees in each call, and afterwards no more."""

    def __init__(self, *degrees):
        self.degrees = list(degrees)
        self.given = []

    def __call__(self, detections):
        self.given.append([one.box for one in detections])
        turn = np.radians(self.degrees.pop(0) if self.degrees else 0)
        matrix = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])

        def turned(one):
            points = (one.landmarks - one.middle) @ matrix + one.middle
            return replace(one, landmarks=points.astype(np.float32), refined_score=0.9)

        return [turned(one) if one.box == MIDDLE.box else replace(one, refined_score=0.9) for one in detections]


@pytest.mark.parametrize(
    ("degrees", "times"), [([0], 1), ([7], 1), ([-7], 1), ([13], 2), ([-13, 9], 3), ([13, 9, 9, 9], 3), ([13, 3, 9], 2)]
)
def test_a_face_is_refined_again_if_refinement_rotated_it_much(degrees, times):
    detector = RotatingDetector(*degrees)
    refine_faces(detector, [MIDDLE])
    assert len(detector.given) == times


def test_only_rotated_faces_are_refined_again():
    detector = RotatingDetector(20)
    found = refine_faces(detector, [LEFT, MIDDLE, RIGHT])
    assert detector.given == [[LEFT.box, MIDDLE.box, RIGHT.box], [MIDDLE.box]]
    assert [one.box for one in found] == [LEFT.box, MIDDLE.box, RIGHT.box]


def test_faces_are_refined_in_batches():
    detector = RotatingDetector()
    refine_faces(detector, [LEFT] * (2 * REFINEMENT_BATCH + 1))
    assert [len(given) for given in detector.given] == [REFINEMENT_BATCH, REFINEMENT_BATCH, 1]


def test_no_faces_need_no_call():
    detector = RotatingDetector()
    assert refine_faces(detector, []) == []
    assert detector.given == []


def test_a_face_does_not_drift_to_its_neighbour():
    step = 0.8 * SAME_WITHIN * SIDE

    class Drifting(RotatingDetector):
        """Also moves the face to the right, each time by less than the limit of one call."""

        def __call__(self, detections):
            return [
                replace(one, landmarks=one.landmarks + np.float32([step, 0])) for one in super().__call__(detections)
            ]

    drifting = Drifting(20, 20, 20)
    (found,) = refine_faces(drifting, [MIDDLE])
    assert 1 < len(drifting.given) <= MAX_REFINEMENTS
    assert found.middle[0] == pytest.approx(MIDDLE.middle[0] + step, abs=0.01)


def rotated(degrees, shift=0.0):
    """Return MIDDLE as refined: its former landmarks, and those rotated and then moved to the right."""
    (found,) = RotatingDetector(degrees)([MIDDLE])
    return replace(found, landmarks=found.landmarks + np.float32([shift, 0]), former=MIDDLE.landmarks)


@pytest.mark.parametrize("degrees", [0, 5, -7.9])
def test_landmarks_before_and_after_refinement_are_averaged(degrees):
    found = rotated(degrees, shift=4)
    np.testing.assert_allclose(averaged_landmarks(found), (found.landmarks + MIDDLE.landmarks) / 2)
    assert averaged_landmarks(found).dtype == np.float32


@pytest.mark.parametrize("degrees", [8.1, -20, 170])
def test_landmarks_that_refinement_rotated_much_are_those_after_it(degrees):
    found = rotated(degrees, shift=4)
    np.testing.assert_array_equal(averaged_landmarks(found), found.landmarks)


def test_landmarks_of_a_face_that_was_not_refined_are_its_own():
    np.testing.assert_array_equal(averaged_landmarks(MIDDLE), MIDDLE.landmarks)


@given(st.floats(-180, 180), st.floats(-20, 20))
def test_averaged_landmarks_are_never_farther_from_those_after_refinement_than_those_before_it(degrees, shift):
    found = rotated(degrees, shift)
    moved = np.abs(averaged_landmarks(found) - found.landmarks)
    assert (moved <= np.abs(MIDDLE.landmarks - found.landmarks) + 1e-3).all()


@pytest.mark.parametrize(
    ("degrees", "former", "last"), [([5], 0, 5), ([13], 13, 13), ([13, 5], 13, 18), ([13, 9, 9], 22, 31)]
)
def test_the_last_two_readings_of_a_refined_face_are_kept(degrees, former, last):
    (found,) = refine_faces(RotatingDetector(*degrees), [MIDDLE])
    assert (roll(found.former), roll(found.landmarks)) == (
        pytest.approx(-former, abs=0.01),
        pytest.approx(-last, abs=0.01),
    )


def test_a_reading_of_a_neighbour_is_not_one_of_them():
    def refine(detections):
        moved = np.float32([2 * SAME_WITHIN * SIDE if detections[0].refined_score else 1, 0])
        (turned,) = RotatingDetector(13)(detections)
        return [replace(turned, landmarks=turned.landmarks + moved)]

    (found,) = refine_faces(refine, [MIDDLE])
    np.testing.assert_array_equal(found.former, MIDDLE.landmarks)
    assert roll(found.landmarks) == pytest.approx(-13, abs=0.01)


class CropScorer:
    """Gives every face the same scores, and records the faces."""

    def __init__(self, smaller=1.0, larger=1.0, mirrored=1.0):
        self.scores = CropScores(smaller, larger, mirrored)
        self.given = []

    def __call__(self, faces):
        self.given.append(list(faces))
        return [self.scores] * len(faces)


def scored(score, refined_score):
    return replace(MIDDLE, score=score, refined_score=refined_score)


def test_a_face_with_high_scores_needs_no_further_crops():
    scorer = CropScorer(0, 0, 0)
    enough = [scored(0.89, CERTAIN_SCORE_SUM - 0.89 + 1e-9), scored(0.5, CERTAIN_REFINED)]
    too_little = [scored(0.89, CERTAIN_SCORE_SUM - 0.9), scored(0.5, CERTAIN_REFINED - 0.001)]
    assert verify_faces(scorer, [*enough, *too_little]) == [True, True, False, False]
    assert scorer.given == [too_little]


@pytest.mark.parametrize("less", range(3))
def test_the_mean_of_all_crops_decides(less):
    for short, is_face in ((0.0, True), (0.01, False)):
        scores = [LEAST_CROP_SCORE + 1e-9] * 3
        scores[less] -= 4 * short
        assert verify_faces(CropScorer(*scores), [scored(0.85, LEAST_CROP_SCORE)]) == [is_face]


def test_a_blurred_face_is_decided_by_its_smaller_crop():
    # Its larger and mirrored crops have low scores.
    faces = [scored(BLURRED_SCORE, 0.5), scored(BLURRED_SCORE, None)]
    assert verify_faces(CropScorer(BLURRED_SMALLER, 0, 0), faces) == [True, True]
    assert verify_faces(CropScorer(BLURRED_SMALLER - 0.01, 1, 1), faces) == [False, False]


def test_further_crops_are_scored_in_batches():
    scorer = CropScorer()
    assert verify_faces(scorer, [scored(0.8, 0.9) for _ in range(REFINEMENT_BATCH + 1)]) == [True] * (
        REFINEMENT_BATCH + 1
    )
    assert [len(given) for given in scorer.given] == [REFINEMENT_BATCH, 1]
