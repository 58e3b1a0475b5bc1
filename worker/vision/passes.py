"""Detection passes: at which size a picture goes through the detector in one rotation, and which detections are faces.

Independent of the detector. docs/decisions/0016-faces.md has the measurements behind each number.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from worker.vision.geometry import (
    CropScores,
    Detection,
    Pixels,
    left_to_right,
    most_prominent,
    overlap,
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
"""Longest side in pixels of the full pass. The same for all pictures, since scores depend on it."""

COARSE_SIDE: Final = SIDE // 2
"""Longest side in pixels of the coarse pass, which comes first where only the most prominent face matters: a quarter of
the pixels."""

COARSE_FACE: Final = 40
"""Least side in pixels, in the coarse pass, of a face that is taken from there, to enrol and to search: the same photo
then gives the same embedding. The detector finds faces from about 10 pixels on; beside a small face, a larger one may
have been missed."""

LEAST_SCORE: Final = 0.8
"""Least score of a candidate that counts in passes over the whole picture."""

SAME: Final = 0.3
"""Overlap from which on two detections are one face, as within one pass of the detector."""


class Detector(Protocol):
    """A face detector."""

    def detect(self, image: Pixels, side: int) -> list[Detection]:
        """Return candidates, in pixels of the image, from a pass with its longest side resized to `side` pixels."""

    def best_scores(self, images: Sequence[Pixels]) -> list[float]:
        """Return the best score of a candidate in each of several images of one size; 0 without any."""

    def refine(self, image: Pixels, detections: Sequence[Detection]) -> list[Detection]:
        """Return the same faces with refined landmarks and refined scores."""

    def score_crops(self, image: Pixels, detections: Sequence[Detection]) -> list[CropScores]:
        """Return the scores of each refined face on further crops."""


class DetectionPasses:
    """The detection passes over one image in one rotation. Each pass runs when it is first needed, and once; each
    candidate is refined once.

    Which candidates are faces, and which one is the most prominent, is decided here alone for enrolment and search: the
    face that a search finds is among those that an add finds, from the same pass.
    """

    degrees = 0

    def __init__(self, detector: Detector, image: Pixels, least_score: float) -> None:
        """least_score: least score, in (0, 1), of a candidate that counts."""
        self._detector = detector
        self._image = image
        self._least_score = least_score
        self._passes: dict[int, list[Detection]] = {}
        self._refined: dict[Detection, Detection] = {}
        self._are_faces: set[Detection] = set()

    @property
    def score(self) -> float:
        """The best score of a candidate before refinement; 0 without any."""
        return max((face.score for face in self._decisive), default=0.0)

    @property
    def certainty(self) -> float:
        """Score plus refined score, 0 to 2, of the most prominent face; 0 without one."""
        face = self._first(self._decisive)
        return 0.0 if face is None else face.score + self._score_refined(face)

    def best_score(self, *sides: int) -> float:
        """Return the best score of a candidate in the passes at these sides, before refinement; 0 without any."""
        return max((face.score for side in sides for face in self._pass(side)), default=0.0)

    @property
    def has_large(self) -> bool:
        """Whether the most prominent face of the coarse pass is large: then no full pass is needed to find it."""
        face = self._first(self._pass(COARSE_SIDE))
        return face is not None and self._is_large(face)

    def most_prominent(self) -> Detection | None:
        """Return the most prominent face, refined, in pixels of the image; None without one."""
        face = self._first(self._decisive)
        return None if face is None else self._refined[face]

    def all_faces(self) -> list[Detection]:
        """Return all faces, refined, in pixels of the image, from left to right in this rotation."""
        return left_to_right([self._refined[face] for face in self._faces(self._both())], self.degrees)

    @property
    def count(self) -> int:
        """Number of candidates for the most prominent face, without those rejected by refinement."""
        rejected = sum(face not in self._are_faces for face in self._decisive if face in self._refined)
        return len(self._decisive) - rejected

    def doubtful(self) -> list[Detection]:
        """Return the candidates of the full pass that score too little to count, in pixels of the image, not
        refined.
        """
        return [self._back(face) for face in self._candidates(SIDE) if face.score < self._least_score]

    @property
    def _rotated(self) -> Pixels:
        """The image in this rotation."""
        return self._image

    @property
    def _decisive(self) -> list[Detection]:
        """Candidates for the most prominent face: those of the coarse pass if it is large there, else those of both
        passes. An add runs both in any case, but decides by these, as a search does.
        """
        return self._pass(COARSE_SIDE) if self.has_large else self._both()

    def _both(self) -> list[Detection]:
        """Return the candidates of both passes: large ones from the coarse pass, all others from the full pass."""
        coarse = self._pass(COARSE_SIDE)
        large = self._faces([face for face in coarse if self._is_large(face)])
        others = self._pass(SIDE) or [face for face in coarse if not self._is_large(face)]
        return large + [face for face in others if all(overlap(face.box, other.box) <= SAME for other in large)]

    def _pass(self, side: int) -> list[Detection]:
        """Return the candidates of a pass that count."""
        return [face for face in self._candidates(side) if face.score >= self._least_score]

    def _candidates(self, side: int) -> list[Detection]:
        if side not in self._passes:
            self._passes[side] = self._detector.detect(self._rotated, side)
        return self._passes[side]

    def _first(self, candidates: list[Detection]) -> Detection | None:
        """Return the most prominent face among candidates. In most photos it is the most prominent candidate."""
        while candidates:
            best = most_prominent(candidates, (self._rotated.shape[1], self._rotated.shape[0]))
            if self._faces([best]):
                return best
            candidates = self._faces(candidates)
        return None

    def _faces(self, candidates: Sequence[Detection]) -> list[Detection]:
        """Return those candidates that are faces."""
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
        """Return whether a refined candidate scores enough, in this rotation, to be a face."""
        return face.score + self._score_refined(face) >= LEAST_SCORE_SUM or face.score >= BLURRED_SCORE

    def _score_refined(self, face: Detection) -> float:
        return self._refined[face].refined_score or 0.0

    def _back(self, face: Detection) -> Detection:
        """Return a candidate in pixels of the image."""
        return face

    def _is_large(self, face: Detection) -> bool:
        return bool(min(face.box[2:]) * COARSE_SIDE >= COARSE_FACE * max(self._rotated.shape[:2]))


class RotatedPasses(DetectionPasses):
    """The detection passes over a rotated image. Faces are ordered as in the rotated image, but returned in pixels of
    the image itself, from which they are refined: no later step needs the rotated image.
    """

    def __init__(
        self,
        detector: Detector,
        image: Pixels,
        least_score: float,
        small: Pixels,
        factor: npt.NDArray[np.float32],
        degrees: int,
        *,
        large: bool,
    ) -> None:
        """small: the image resized for rotation. factor: (2,), what to multiply its coordinates by to get the
        image's. large: whether there may be a large face; without one, there is no coarse pass.
        """
        super().__init__(detector, image, least_score)
        if not large:
            self._passes[COARSE_SIDE] = []
        self.degrees = degrees
        self._small = small
        self._factor = factor

    @property
    def _rotated(self) -> Pixels:
        return self._rotation[0]

    @cached_property
    def _rotation(self) -> tuple[Pixels, npt.NDArray[np.float64]]:
        """The rotated image, and the matrix from the small one to it. Most rotations need neither."""
        return rotate(self._small, self.degrees)

    def _back(self, face: Detection) -> Detection:
        return rotate_back(face, self._rotation[1], self._factor)

    def _is_likely(self, face: Detection) -> bool:
        score = self._score_refined(face)
        return score >= SURE_REFINED or face.score + score >= SURE_SCORE_SUM


def rotate_back(face: Detection, matrix: npt.NDArray[np.float64], factor: npt.NDArray[np.float32]) -> Detection:
    """Return a face of a rotated image in pixels of the original. matrix: as `rotate` returns it; coordinates are then
    multiplied by factor. The box keeps its sides, those of the upright face, around its centre.
    """
    points = transform_back([face.centre, *face.landmarks], matrix) * factor
    x, y = points[0].tolist()
    width, height = np.multiply(face.box[2:], factor.mean()).tolist()
    return replace(face, box=(x - width / 2, y - height / 2, width, height), landmarks=points[1:])
