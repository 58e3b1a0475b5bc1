"""Looking for faces: at which size, and which way up the photo is. Pure but for the detector, which is given."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from worker.faces.geometry import (
    Detection,
    Image,
    brought_back,
    left_to_right,
    most_prominent,
    overlap,
    resize,
    turned,
)

SIDE: Final = 640
"""Longest side in pixels at which every face is looked for. One for all, since scores depend on it."""

FINE_SIDE: Final = 1024
"""Where nothing is found otherwise, photos with more than SIDE pixels are looked at once more: faces of 10 to 14 pixels
at SIDE, which may be 80 in the photo as it was sent, are found 55 to 93 times in 100 in place of 7 to 32."""

COARSE_SIDE: Final = SIDE // 2
"""Where only the most prominent face matters it is looked for at a quarter of the pixels first."""

COARSE_FACE: Final = 40
"""Least side in pixels, there, of a face that is taken as it is found there, to enrol and to search: the same photo
then gives the same vector. The detector finds faces from about 10 pixels on; next to a small one, a larger one may have
been missed."""

_SAME: Final = 0.3
"""Overlap from which on two detections are one face, as within one pass of the detector."""


@dataclass(frozen=True)
class Turn:
    """degrees: counter-clockwise. below: it is tried when the best score of the photo as it comes is less."""

    degrees: int
    below: float


SURE: Final = 0.90
"""A score from which on a face is upright, by and large: of 200 photos of LFW none scores less."""

TURNS: Final = (Turn(180, 0.92), Turn(90, SURE), Turn(270, SURE), Turn(45, SURE), Turn(315, SURE))
"""Ways up in which a photo is looked at when no face in it is surely upright. Of faces that stand on their heads one in
twenty scores more than SURE, so that this way is tried sooner. The eighths are for faces that are tilted: with the
quarters alone the wrong one of two is often taken in place of the photo as it comes (docs/decisions/0013-seeing.md)."""

Detect = Callable[[Image, int], list[Detection]]
"""Faces in pixels of the image, looked for with its longest side made so many pixels."""


class Look:
    """One image, one way up. Each pass of the detector is run when it is first asked for, and once."""

    def __init__(self, detect: Detect, image: Image, *, finer: bool) -> None:
        """finer: whether to look at FINE_SIDE where nothing is found else."""
        self._detect = detect
        self._image = image
        self._finer = finer
        self._passes: dict[int, list[Detection]] = {}

    def _pass(self, side: int) -> list[Detection]:
        # Not functools.cached_property: before Python 3.12 all instances share its lock, so threads would take turns.
        if side not in self._passes:
            self._passes[side] = self._detect(self._image, side)
        return self._passes[side]

    def _full(self) -> list[Detection]:
        found = self._pass(SIDE)
        if found or self._pass(COARSE_SIDE) or not self._finer:
            return found
        return self._pass(FINE_SIDE)

    @property
    def has_large(self) -> bool:
        """Whether the most prominent face of the coarse pass is large: then that pass is all it takes."""
        coarse = self._pass(COARSE_SIDE)
        return bool(coarse) and self._is_large(self._most_prominent(coarse))

    @property
    def decisive(self) -> list[Detection]:
        """The faces among which the most prominent is: the coarse pass's when it is large there, else the full one's.

        An add runs both passes anyway, but decides by these, so that it sees a photo the same way up as a search does.
        """
        coarse = self._pass(COARSE_SIDE)
        return coarse if self.has_large else self._full() or coarse

    @property
    def score(self) -> float:
        """The best one, 0 without a face."""
        return max((face.score for face in self.decisive), default=0.0)

    def prominent(self) -> list[Detection]:
        """The most prominent face, or none."""
        found = self.decisive
        return [self._most_prominent(found)] if found else []

    def every(self) -> list[Detection]:
        """Every face, from left to right: the large ones as the coarse pass finds them, all others as the full one."""
        large = [face for face in self._pass(COARSE_SIDE) if self._is_large(face)]
        others = [face for face in self._full() if all(overlap(face.box, other.box) <= _SAME for other in large)]
        return left_to_right(large + others)

    def _most_prominent(self, faces: list[Detection]) -> Detection:
        return most_prominent(faces, (self._image.shape[1], self._image.shape[0]))

    def _is_large(self, face: Detection) -> bool:
        return bool(min(face.box[2:]) * COARSE_SIDE >= COARSE_FACE * max(self._image.shape[:2]))


class TurnedLook(Look):
    """An image that was turned to be looked at. What it gives is ordered as it is seen there, but lies where it does in
    the image itself: nothing that comes after needs the image turned.
    """

    def __init__(self, detect: Detect, image: Image, factor: npt.NDArray[np.float32], degrees: float) -> None:
        """factor: (2,), what coordinates of the image are to be multiplied with to be those that are given."""
        image, matrix = turned(image, degrees)
        super().__init__(detect, image, finer=False)
        self._matrix, self._factor = matrix, factor

    def prominent(self) -> list[Detection]:
        return [self._back(face) for face in super().prominent()]

    def every(self) -> list[Detection]:
        return [self._back(face) for face in super().every()]

    def _back(self, face: Detection) -> Detection:
        """The box keeps its sides, those of the upright face, about where its middle lies."""
        points = brought_back([face.centre, *face.landmarks], self._matrix) * self._factor
        x, y = points[0].tolist()
        width, height = np.multiply(face.box[2:], self._factor.mean()).tolist()
        return replace(face, box=(x - width / 2, y - height / 2, width, height), landmarks=points[1:])


def look(detect: Detect, image: Image) -> Look:
    """The image the way up in which its best face scores most; as it comes, when that is surely upright or no other way
    scores more.

    What is surely upright costs the one or two passes that it takes anyway. All else costs a coarse pass for each of
    TURNS that it is below of, and only when none of them shows a large face a full one each.
    """
    longest = max(image.shape[:2])
    upright = Look(detect, image, finer=longest > SIDE)
    turns = [turn.degrees for turn in TURNS if upright.score < turn.below]
    if not turns:
        return upright
    small, factor = resize(image, SIDE) if longest > SIDE else (image, np.ones(2, np.float32))
    looks = [TurnedLook(detect, small, factor, degrees) for degrees in turns]
    sure = [other for other in looks if other.has_large and other.score >= SURE]
    return max([upright, *(sure or looks)], key=lambda seen: seen.score)
