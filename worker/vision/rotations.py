"""The way up of a picture: in which rotations it goes through the detector, and which of them is taken.

Independent of the detector. docs/decisions/0016-faces.md and 0023-scouts.md have the measurements behind each number.
"""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import numpy as np

from worker.vision.geometry import Pixels, resize, rotated_thumbnail
from worker.vision.passes import COARSE_SIDE, SIDE, DetectionPasses, Detector, RotatedPasses

SURE: Final = 0.90
"""Score from which on a face is surely upright: no photo of a sample of 200 of LFW scores less."""


class Rotation(NamedTuple):
    """A rotated pass. degrees: counter-clockwise. below: made if the best score of the upright picture is below
    this.
    """

    degrees: int
    below: float


ROTATIONS: Final = (Rotation(180, 0.92), *(Rotation(degrees, SURE) for degrees in (90, 270, 45, 315, 135, 225)))
"""Rotations to consider for a picture in which no face is surely upright. One in twenty upside-down faces scores more
than SURE, so that rotation has a higher limit. With the eighths no face is tilted by more than 22.5 degrees in the
nearest one (docs/decisions/0013-seeing.md)."""

SCOUT_SIDE: Final = 160
"""Side in pixels of a scout for large faces, which have 20 pixels or more there, in eighths 14."""

LEAST_SCOUT: Final = 0.5
"""Score of that scout below which no large face is in its rotation. Of 1,045 rotated photos of LFW none has less than
0.80 in the rotation to choose; of 250 pictures without a face 14 have as much in any rotation."""

LEAD: Final = 0.04
"""By how much the score of that scout may be below the best one in the rotation to choose: by more in 4 of those 1,045
photos. On average 1.4 rotations are as near to the best one."""

SMALL_SCOUT_SIDE: Final = 448
"""Side in pixels of a scout for all other faces: half of the pixels of a full pass. At 320 pixels a tenth of the small
faces leaves no trace."""

LEAST_SMALL_SCOUT: Final = 0.12
"""Score of that scout below which a full pass in its rotation finds no face. Of 161 small faces in rotated photos, 20
pixels wide in a full pass and more, 3 have less; of 250 pictures without a face 172 have less in each quarter turn."""

LEAST_TRACE: Final = 0.15
"""Score of that scout in a quarter turn below which no eighth is considered: most faces tilted by 45 degrees leave a
trace in the quarter turns beside it. Of 39 small ones 10 are lost, of 250 pictures without a face 190 cost less."""

MOST_ROTATED: Final = 3
"""Most rotations with a coarse and a full pass for large faces. The rotation to choose was among those with the best 3
scouts in all but one of 1,045 photos."""

MOST_SMALL: Final = 2
"""Most rotations with a full pass where no scout shows a large face."""

MOST_REFINED: Final = 0.96
"""A refined score that no face reaches: the highest of 1,900 was 0.953."""


def choose_passes(detector: Detector, image: Pixels, least_score: float) -> DetectionPasses:
    """Return the passes in the rotation in which the most prominent face has the largest sum of score and refined
    score; the upright ones if that face is surely upright or no rotation scores more.

    A surely upright face costs only the one or two passes needed in any case. Otherwise scouts show in which rotations
    there may be a face, and coarse and full passes run only there.
    """
    upright = DetectionPasses(detector, image, least_score)
    degrees = [rotation.degrees for rotation in ROTATIONS if upright.score < rotation.below]
    if not degrees:
        return upright
    small, factor = resize(image, SIDE) if max(image.shape[:2]) > SIDE else (image, np.ones(2, np.float32))

    def passes_at(rotations: Iterable[int], *, large: bool) -> list[RotatedPasses]:
        return [
            RotatedPasses(detector, image, least_score, small, factor, rotation, large=large) for rotation in rotations
        ]

    scores = _scout(detector, small, degrees, SCOUT_SIDE)
    likely = [rotation for rotation in scores if scores[rotation] >= LEAST_SCOUT][:MOST_ROTATED]
    rotated = passes_at(likely, large=True)
    leading = [passes for passes in rotated if scores[passes.degrees] >= scores[likely[0]] - LEAD]
    best = _most_certain(leading, sure=True)
    if best is None:
        rotated = rotated or passes_at(_scout_small(detector, small, degrees)[:MOST_SMALL], large=False)
        best = _most_certain(rotated, sure=False)
    if best is None or (upright.score + MOST_REFINED >= best.certainty and upright.certainty >= best.certainty):
        return upright
    return best


def _most_certain(rotated: Sequence[DetectionPasses], *, sure: bool) -> DetectionPasses | None:
    """Return those passes whose most prominent face is the most certain one; None if none has a face. Faces are refined
    only where they may be more certain than those before. sure: only passes with a large face and a score of SURE.
    """
    best, certainty = None, 0.0
    for passes in rotated:
        score = passes.best_score(COARSE_SIDE) if sure else passes.best_score(COARSE_SIDE, SIDE)
        if score + MOST_REFINED <= certainty or (sure and not (score >= SURE and passes.has_large)):
            continue
        if passes.certainty > certainty:
            best, certainty = passes, passes.certainty
    return best


def _scout_small(detector: Detector, image: Pixels, rotations: Sequence[int]) -> list[int]:
    """Return the rotations, in degrees, in which a full pass may find a face, the likeliest first. The eighths are
    considered only where a quarter turn shows anything at all: a face tilted by 45 degrees leaves a trace there.
    """
    quarters = [rotation for rotation in rotations if rotation % 90 == 0]
    eighths = [rotation for rotation in rotations if rotation % 90]
    scores = _scout(detector, image, quarters, SMALL_SCOUT_SIDE)
    if eighths and max(scores.values()) >= LEAST_TRACE:
        scores |= _scout(detector, image, eighths, SMALL_SCOUT_SIDE)
    return [each for each in sorted(scores, key=lambda each: -scores[each]) if scores[each] >= LEAST_SMALL_SCOUT]


def _scout(detector: Detector, image: Pixels, rotations: Sequence[int], side: int) -> dict[int, float]:
    """Return the best score in each rotation, in degrees, with the longest side resized to `side` pixels; the best one
    first. All rotations share an inference.
    """
    while max(image.shape[:2]) > 2 * side:
        image = resize(image, max(image.shape[:2]) // 2)[0]
    scores = detector.best_scores([rotated_thumbnail(image, rotation, side) for rotation in rotations])
    return dict(sorted(zip(rotations, scores, strict=True), key=lambda each: -each[1]))
