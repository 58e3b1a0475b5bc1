"""How often faces are refined, how far that may move them, and which candidates are faces."""

from dataclasses import replace

import numpy as np
import pytest

from worker.vision.geometry import SAME_WITHIN, TEMPLATE, CropScores, Detection
from worker.vision.refinement import (
    BLURRED_SCORE,
    BLURRED_SMALLER,
    CERTAIN_REFINED,
    CERTAIN_SCORE_SUM,
    LEAST_CROP_SCORE,
    MAX_REFINEMENTS,
    REFINEMENT_BATCH,
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
