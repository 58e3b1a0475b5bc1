"""Refinement of detections on upright crops around each face, and the decision whether each is a face.

Independent of the detector.
"""

from collections.abc import Callable, Sequence
from typing import Final

from worker.vision.geometry import SAME_WITHIN, CropScores, Detection, distance, roll

REPEAT_DEGREES: Final = 8.0
"""Rotation by a refinement, in degrees, beyond which a face is refined again: the detector underestimates the tilt of a
face, at 30 degrees as 11 at first and as 24 then. No upright face is rotated by as much."""

MAX_REFINEMENTS: Final = 3
"""Most refinements of a face: what a fourth would still rotate is no face, or upside down."""

REFINEMENT_BATCH: Final = 16
"""Faces of an image that are refined together: 10 MB of detector input."""

LEAST_SCORE_SUM: Final = 1.7
"""Sum of score and refined score from which on a candidate of the whole, upright picture is a face. All 1,848 photos of
LFW have 1.75 and more; below are mostly hidden or blurred faces, and objects that are no faces."""

BLURRED_SCORE: Final = 0.88
"""Score from which on a candidate of the whole, upright picture may have any refined score, if it has BLURRED_SMALLER.
Enlarged, a blurred face does not look like one; judging it is left to the quality gate."""

SURE_REFINED: Final = 0.88
"""Refined score from which on a candidate of a rotated or fine pass, or one that scored too little when it was
detected, is a face: most false detections come from there. Of 63 photos of LFW, rotated, dark and small, the best
candidate had 0.896 and more; of 6,082 pictures without a face few have 0.88 to 0.89."""

SURE_SCORE_SUM: Final = 1.74
"""Sum of score and refined score from which on a candidate of a rotated pass is a face, too: a masked face scores less
than SURE_REFINED, but enough when it was detected."""

CERTAIN_SCORE_SUM: Final = 1.79
"""Sum of score and refined score from which on a face needs no further crops: few photos of LFW have less. Measured,
like the next two, on photos as they are, rotated, dark and small, on masked and blurred ones, and on 6,188 pictures
without a face."""

CERTAIN_REFINED: Final = 0.912
"""Refined score from which on a face needs no further crops either, so that a crowd of small faces, which score little
when they are detected, costs nothing extra. None of 6,188 pictures without a face has as much."""

LEAST_CROP_SCORE: Final = 0.865
"""Mean of the refined score and the three crop scores from which on a candidate below CERTAIN_SCORE_SUM is a face. No
photo of 2,302 of LFW has less, and one in fifty masked ones; of the 15 pictures without a face that passed before, 11
do."""

BLURRED_SMALLER: Final = 0.7
"""Crop score, at the smaller size, from which on a candidate with BLURRED_SCORE is a face: a blurred face is sharper
there. Faces blurred by up to a twelfth of their size have 0.77 and more; false detections with BLURRED_SCORE, 0.50."""

Refine = Callable[[Sequence[Detection]], list[Detection]]
"""Returns the same faces with landmarks and scores from an upright crop around each."""

ScoreCrops = Callable[[Sequence[Detection]], list[CropScores]]
"""Returns the scores of each refined face on further crops."""


def refine_faces(refine: Refine, detections: Sequence[Detection]) -> list[Detection]:
    """Return the same faces, refined once, and up to MAX_REFINEMENTS times while that rotates them much.

    However often it is refined, a face stays within SAME_WITHIN of where it was detected.
    """
    found = list(detections)
    numbers = list(range(len(found)))
    for _ in range(MAX_REFINEMENTS):
        again = [
            face
            for first in range(0, len(numbers), REFINEMENT_BATCH)
            for face in refine([found[number] for number in numbers[first : first + REFINEMENT_BATCH]])
        ]
        turned = []
        for number, face in zip(numbers, again, strict=True):
            before, found[number] = found[number], face
            if distance(detections[number], face) > SAME_WITHIN:
                found[number] = before
            elif _between(roll(face.landmarks), roll(before.landmarks)) > REPEAT_DEGREES:
                turned.append(number)
        numbers = turned
        if not numbers:
            break
    return found


def verify_faces(score_crops: ScoreCrops, candidates: Sequence[Detection]) -> list[bool]:
    """Return for each refined candidate whether it is a face; where its scores do not decide, its crop scores do."""
    uncertain = [face for face in candidates if not _is_certain(face)]
    crop_scores = [
        scores
        for first in range(0, len(uncertain), REFINEMENT_BATCH)
        for scores in score_crops(uncertain[first : first + REFINEMENT_BATCH])
    ]
    rejected = {face for face, scores in zip(uncertain, crop_scores, strict=True) if not _is_face(face, scores)}
    return [face not in rejected for face in candidates]


def _is_certain(face: Detection) -> bool:
    refined_score = face.refined_score or 0.0
    return refined_score >= CERTAIN_REFINED or face.score + refined_score >= CERTAIN_SCORE_SUM


def _is_face(face: Detection, scores: CropScores) -> bool:
    refined_score = face.refined_score or 0.0
    if face.score >= BLURRED_SCORE and face.score + refined_score < LEAST_SCORE_SUM:
        return scores.smaller >= BLURRED_SMALLER
    return (refined_score + sum(scores)) / 4 >= LEAST_CROP_SCORE


def _between(first: float, second: float) -> float:
    """Return the angle between two directions, 0 to 180 degrees."""
    return abs((first - second + 180) % 360 - 180)
