"""Detection passes: at which size, and which way up a photo is looked at, and what of it is a face.

Pure but for the detector, which is given. docs/decisions/0016-faces.md has what each number was measured by.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from worker.vision.geometry import (
    CropScores,
    Detection,
    Pixels,
    left_to_right,
    most_prominent,
    overlap,
    resize,
    rotate,
    transform_back,
)
from worker.vision.refinement import (
    BLURRED_SCORE,
    LEAST_SCORE_SUM,
    SURE_REFINED,
    SURE_SCORE_SUM,
    refine_faces,
    verify_faces,
)

SIDE: Final = 640
"""Longest side in pixels at which every face is looked for. One for all, since scores depend on it."""

COARSE_SIDE: Final = SIDE // 2
"""Where only the most prominent face matters it is looked for at a quarter of the pixels first."""

COARSE_FACE: Final = 40
"""Least side in pixels, there, of a face that is taken as it is found there, to enrol and to search: the same photo
then gives the same vector. The detector finds faces from about 10 pixels on; next to a small one, a larger one may have
been missed."""

LEAST_SCORE: Final = 0.8
"""Score from which on a candidate counts in passes over the whole photo."""

SAME: Final = 0.3
"""Overlap from which on two detections are one face, as within one pass of the detector."""

SURE: Final = 0.90
"""A score from which on a face is upright, by and large: of 200 photos of LFW none scores less."""


class Rotation(NamedTuple):
    """degrees: counter-clockwise. below: it is tried when the best score of the photo as it comes is less."""

    degrees: int
    below: float


ROTATIONS: Final = (Rotation(180, 0.92), *(Rotation(degrees, SURE) for degrees in (90, 270, 45, 315, 135, 225)))
"""Ways up in which a photo is looked at when no face in it is surely upright. Of faces that stand on their heads one in
twenty scores more than SURE, so that this way is tried sooner. With the eighths no face is tilted by more than 22.5
degrees in the nearest one (docs/decisions/0013-seeing.md)."""


class Detector(Protocol):
    """Finds faces."""

    def detect(self, image: Pixels, side: int) -> list[Detection]:
        """Candidates in pixels of the image, looked for with its longest side made that many pixels; may be none."""

    def refine(self, image: Pixels, detections: Sequence[Detection]) -> list[Detection]:
        """The same faces with landmarks as good as can be, and refined scores."""

    def score_crops(self, image: Pixels, detections: Sequence[Detection]) -> list[CropScores]:
        """What each refined face scores on further crops."""


class DetectionPasses:
    """One image, one way up. Each detection pass is run when it is first asked for, and once; and each candidate is
    refined once.

    What is a face, and which one is the most prominent, is decided here alone, to enrol as to search: the face of a
    search is among those of an add, from the same pass.
    """

    degrees = 0

    def __init__(self, detector: Detector, image: Pixels, least_score: float) -> None:
        """least_score: score, (0, 1), from which on a candidate counts."""
        self._detector = detector
        self._image = image
        self._seen = image
        self._least_score = least_score
        self._passes: dict[int, list[Detection]] = {}
        self._refined: dict[Detection, Detection] = {}
        self._are_faces: set[Detection] = set()

    @property
    def score(self) -> float:
        """The best one of a candidate, as it was detected; 0 without any."""
        return max((face.score for face in self._decisive), default=0.0)

    @property
    def certainty(self) -> float:
        """Score and refined score together, 0 to 2, of the most prominent face; 0 without one."""
        face = self._first(self._decisive)
        return 0.0 if face is None else face.score + self._score_refined(face)

    @property
    def has_large(self) -> bool:
        """Whether the most prominent face of the coarse pass is large: then that pass is all it takes."""
        face = self._first(self._pass(COARSE_SIDE))
        return face is not None and self._is_large(face)

    def most_prominent(self) -> Detection | None:
        """The most prominent face, refined, in pixels of the image; None without one."""
        face = self._first(self._decisive)
        return None if face is None else self._refined[face]

    def all_faces(self) -> list[Detection]:
        """Every face, refined, in pixels of the image, from left to right as they are seen this way up."""
        return left_to_right([self._refined[face] for face in self._faces(self._both())], self.degrees)

    @property
    def count(self) -> int:
        """Candidates among which the most prominent face is, less those that turned out to be none."""
        rejected = sum(face not in self._are_faces for face in self._decisive if face in self._refined)
        return len(self._decisive) - rejected

    def doubtful(self) -> list[Detection]:
        """Candidates of the full pass that score too little to count, in pixels of the image, not refined."""
        return [self._back(face) for face in self._candidates(SIDE) if face.score < self._least_score]

    @property
    def _decisive(self) -> list[Detection]:
        """Candidates among which the most prominent face is: the coarse pass's when it is large there, else those of
        both passes. An add runs both anyway, but decides by these, as a search does.
        """
        return self._pass(COARSE_SIDE) if self.has_large else self._both()

    def _both(self) -> list[Detection]:
        """Candidates of both passes: large ones as the coarse pass finds them, all others as the full one."""
        coarse = self._pass(COARSE_SIDE)
        large = self._faces([face for face in coarse if self._is_large(face)])
        others = self._pass(SIDE) or [face for face in coarse if not self._is_large(face)]
        return large + [face for face in others if all(overlap(face.box, other.box) <= SAME for other in large)]

    def _pass(self, side: int) -> list[Detection]:
        """Candidates that count."""
        return [face for face in self._candidates(side) if face.score >= self._least_score]

    def _candidates(self, side: int) -> list[Detection]:
        if side not in self._passes:
            self._passes[side] = self._detector.detect(self._seen, side)
        return self._passes[side]

    def _first(self, candidates: list[Detection]) -> Detection | None:
        """The most prominent face among candidates. In most photos the most prominent candidate is one."""
        while candidates:
            best = most_prominent(candidates, (self._seen.shape[1], self._seen.shape[0]))
            if self._faces([best]):
                return best
            candidates = self._faces(candidates)
        return None

    def _faces(self, candidates: Sequence[Detection]) -> list[Detection]:
        """Those candidates that are faces."""
        new = [face for face in candidates if face not in self._refined]
        if new:
            there = refine_faces(
                lambda detections: self._detector.refine(self._image, detections), [self._back(face) for face in new]
            )
            self._refined.update(zip(new, there, strict=True))
            likely = [face for face in new if self._is_likely(face)]
            are_faces = verify_faces(
                lambda detections: self._detector.score_crops(self._image, detections),
                [self._refined[face] for face in likely],
            )
            self._are_faces.update(face for face, is_one in zip(likely, are_faces, strict=True) if is_one)
        return [face for face in candidates if face in self._are_faces]

    def _is_likely(self, face: Detection) -> bool:
        """Whether a refined candidate scores enough, here, to be a face."""
        return face.score + self._score_refined(face) >= LEAST_SCORE_SUM or face.score >= BLURRED_SCORE

    def _score_refined(self, face: Detection) -> float:
        return self._refined[face].refined_score or 0.0

    def _back(self, face: Detection) -> Detection:
        """A candidate in pixels of the image."""
        return face

    def _is_large(self, face: Detection) -> bool:
        return bool(min(face.box[2:]) * COARSE_SIDE >= COARSE_FACE * max(self._seen.shape[:2]))


class RotatedPasses(DetectionPasses):
    """An image that was turned to be looked at. Faces are ordered as they are seen there, but lie where they do in the
    image itself, from which they are refined: nothing that comes after needs the image turned.
    """

    def __init__(
        self,
        detector: Detector,
        image: Pixels,
        least_score: float,
        small: Pixels,
        factor: npt.NDArray[np.float32],
        degrees: int,
    ) -> None:
        """small: the image made small enough to turn. factor: (2,), what coordinates there are to be multiplied with to
        be the image's.
        """
        super().__init__(detector, image, least_score)
        self.degrees = degrees
        self._seen, self._matrix = rotate(small, degrees)
        self._factor = factor

    def _back(self, face: Detection) -> Detection:
        return rotate_back(face, self._matrix, self._factor)

    def _is_likely(self, face: Detection) -> bool:
        score = self._score_refined(face)
        return score >= SURE_REFINED or face.score + score >= SURE_SCORE_SUM


def rotate_back(face: Detection, matrix: npt.NDArray[np.float64], factor: npt.NDArray[np.float32]) -> Detection:
    """A face of a turned image where it lies in the image that was turned by the matrix, times the factor. The box
    keeps its sides, those of the upright face, about where its middle lies.
    """
    points = transform_back([face.centre, *face.landmarks], matrix) * factor
    x, y = points[0].tolist()
    width, height = np.multiply(face.box[2:], factor.mean()).tolist()
    return replace(face, box=(x - width / 2, y - height / 2, width, height), landmarks=points[1:])


def choose_passes(detector: Detector, image: Pixels, least_score: float) -> DetectionPasses:
    """The image the way up in which its most prominent face has the best score and refined score together; as it comes,
    when that is surely upright or no other way scores more.

    What is surely upright costs the one or two passes that it takes anyway. All else costs a coarse pass for each of
    ROTATIONS that it is below of, and only when none of them shows a large face a full one each.
    """
    upright = DetectionPasses(detector, image, least_score)
    turns = [turn.degrees for turn in ROTATIONS if upright.score < turn.below]
    if not turns:
        return upright
    small, factor = resize(image, SIDE) if max(image.shape[:2]) > SIDE else (image, np.ones(2, np.float32))
    looks = [RotatedPasses(detector, image, least_score, small, factor, degrees) for degrees in turns]
    sure = [other for other in looks if other.has_large and other.score >= SURE]
    return max([upright, *(sure or looks)], key=lambda seen: seen.certainty)
