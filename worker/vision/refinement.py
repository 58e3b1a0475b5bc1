"""Refining detections: landmarks from upright crops around each face, and whether it is a face at all.

Pure but for the detector, which is given.
"""

from collections.abc import Callable, Sequence
from typing import Final

from worker.vision.geometry import SAME_WITHIN, CropScores, Detection, distance, roll

REPEAT_DEGREES: Final = 8.0
"""Degrees by which refining must have turned a face for it to be refined once more: of a tilted face the detector sees
the tilt too small, at 30 degrees 11 at first and 24 then. Of upright faces none is turned so much."""

MAX_REFINEMENTS: Final = 3
"""Times that a face is refined: what a fourth would still turn is no face, or lies on its head."""

REFINEMENT_BATCH: Final = 16
"""Faces of an image that are refined together: 10 MB of crops as the detector takes them."""

LEAST_SCORE_SUM: Final = 1.7
"""Score and refined score together from which on a candidate is a face where a photo is looked at as a whole and as it
comes. All 1,848 photos of LFW have 1.75 and more. What has less is hidden or blurred for the most part, or no face."""

BLURRED_SCORE: Final = 0.88
"""Score of a candidate of the photo as it comes from which on its refined score may be anything, if it has
BLURRED_SMALLER. Enlarged, a blurred face looks like none: what is wrong with it is for the quality gate to say."""

SURE_REFINED: Final = 0.88
"""Likewise where a photo is looked at turned or in parts, and where a candidate scored too little when it was detected:
most of what is no face is found there. Of 63 photos of LFW, turned, dark and small, the best candidate had 0.896 and
more; of 6,082 pictures without a face few have 0.88 to 0.89."""

SURE_SCORE_SUM: Final = 1.74
"""Both scores together from which on a candidate is a face where a photo is looked at turned, too: a masked face scores
less than SURE_REFINED, but enough when it was detected."""

CERTAIN_SCORE_SUM: Final = 1.79
"""Both scores together from which on a face is not looked at closely: few photos of LFW have less. It was measured with
the next two, on photos as they come, turned, dark and small, on masked and blurred ones, and on 6,188 pictures without
a face."""

CERTAIN_REFINED: Final = 0.912
"""A refined score from which on it is not either, so that a crowd of small faces, which score little when they are
detected, costs no more for it. Of 6,188 pictures without a face none has as much."""

LEAST_CROP_SCORE: Final = 0.865
"""Mean of the refined score and the three of a close look from which on what scores less than CERTAIN_SCORE_SUM is a
face. Of 2,302 photos of LFW none has less, of masked ones one in fifty; of the 15 pictures without a face that passed
before, 11 do."""

BLURRED_SMALLER: Final = 0.7
"""What is a face by BLURRED_SCORE alone scores as much where it is made smaller: a blurred face is sharper there. Faces
blurred by up to a twelfth of their size have 0.77 and more; what is none and has BLURRED_SCORE, 0.50."""

Refine = Callable[[Sequence[Detection]], list[Detection]]
"""The same faces with landmarks and scores as they are on an upright crop around each."""

ScoreCrops = Callable[[Sequence[Detection]], list[CropScores]]
"""What each of the refined faces scores on further crops."""


def refine_faces(refine: Refine, detections: Sequence[Detection]) -> list[Detection]:
    """The same faces, refined once, and those that this has turned much, up to MAX_REFINEMENTS times.

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


def verify_faces(score_crops: ScoreCrops, faces: Sequence[Detection]) -> list[bool]:
    """Whether each of several refined faces is one, looked at closely where its scores are not enough."""
    doubted = [face for face in faces if not _is_certain(face)]
    closely = [
        scores
        for first in range(0, len(doubted), REFINEMENT_BATCH)
        for scores in score_crops(doubted[first : first + REFINEMENT_BATCH])
    ]
    rejected = {face for face, scores in zip(doubted, closely, strict=True) if not _is_face(face, scores)}
    return [face not in rejected for face in faces]


def _is_certain(face: Detection) -> bool:
    refined_score = face.refined_score or 0.0
    return refined_score >= CERTAIN_REFINED or face.score + refined_score >= CERTAIN_SCORE_SUM


def _is_face(face: Detection, closely: CropScores) -> bool:
    refined_score = face.refined_score or 0.0
    if face.score >= BLURRED_SCORE and face.score + refined_score < LEAST_SCORE_SUM:
        return closely.smaller >= BLURRED_SMALLER
    return (refined_score + sum(closely)) / 4 >= LEAST_CROP_SCORE


def _between(first: float, second: float) -> float:
    """Degrees between two directions, 0 to 180."""
    return abs((first - second + 180) % 360 - 180)
