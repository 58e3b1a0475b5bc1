"""Fine detection passes: tiles of a large picture, for faces too small for a pass over the whole.

Independent of the detector. docs/decisions/0016-faces.md has the measurements behind each number.
"""

import math
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Final

import numpy as np

from worker.vision.geometry import Box, Detection, Pixels, overlap, resize, rotate
from worker.vision.passes import SAME, SIDE, Detector, rotate_back
from worker.vision.refinement import SURE_REFINED, refine_faces, verify_faces

FINEST: Final = 0.6
"""Scale of the finest pass: faces of 40 pixels in the original have 24 there, of which the detector proposes all."""

LEAST_FINE_SIDE: Final = 1024
"""Least longest side in pixels of the finest pass, if the picture is as large."""

TILE: Final = 1024
"""Largest side of a tile in pixels: the memory of a pass does not depend on the picture."""

OVERLAP: Final = 128
"""Pixels that neighbouring tiles share: each face of up to 100 pixels lies whole in one of them."""

STEP: Final = 3.0
"""Largest ratio between the scales of successive passes: a face that one pass may miss, of less than 28 pixels, has
less than 100 in the next."""


def needs_fine_passes(longest: int) -> bool:
    """Return whether a full pass may miss faces of 40 pixels in a picture with that longest side in pixels."""
    return longest * FINEST > SIDE


def fine_sides(longest: int) -> list[int]:
    """Return the longest sides in pixels of the fine passes of a picture with that longest side, the finest last; none
    for a picture of at most SIDE pixels.
    """
    finest = max(round(longest * FINEST), min(longest, LEAST_FINE_SIDE))
    if finest <= SIDE:
        return []
    passes = math.ceil(math.log(finest / SIDE, STEP))
    sides = [round(finest / STEP**coarser) for coarser in reversed(range(passes))]
    return [side for side in sides if side > SIDE]  # the first may round to that of the full pass


def run_fine_passes(
    detector: Detector,
    image: Pixels,
    known: Sequence[Detection],
    doubtful: Sequence[Detection],
    degrees: int = 0,
    *,
    finer: bool,
) -> list[Detection]:
    """Return the faces, refined, that only a refined score shows to be faces, in pixels of the image, in no order.

    known: faces not to be found again. doubtful: candidates of the full pass. Both in pixels of the image. finer:
    whether to run the fine passes, too. degrees: rotation of the picture's passes, counter-clockwise; an eighth counts
    as the quarter before it.
    """
    found = list(known)

    def judge(candidates: Sequence[Detection]) -> None:
        new = _distinct(candidates, found)
        faces = refine_faces(lambda detections: detector.refine(image, detections), new) if new else []
        likely = [face for face in faces if (face.refined_score or 0) >= SURE_REFINED]
        are_faces = verify_faces(lambda detections: detector.score_crops(image, detections), likely)
        found.extend(face for face, is_one in zip(likely, are_faces, strict=True) if is_one)

    judge(doubtful)
    for side in fine_sides(max(image.shape[:2])) if finer else ():
        scaled, factor = resize(image, side)
        judge(
            [
                _moved(face, (left, top), factor)
                for left, top, part, inner in _tiles(scaled)
                for face in _upright(detector, part, degrees - degrees % 90)
                if _within(face.box, inner)
            ]
        )
    return found[len(known) :]


def _upright(detector: Detector, part: Pixels, degrees: int) -> list[Detection]:
    """Return the candidates of a tile from a rotated pass, in the tile's own pixels."""
    if not degrees:
        return detector.detect(part, max(part.shape[:2]))
    there, matrix = rotate(part, degrees)
    one = np.ones(2, np.float32)
    return [rotate_back(face, matrix, one) for face in detector.detect(there, max(there.shape[:2]))]


def _moved(face: Detection, corner: tuple[int, int], factor: np.ndarray) -> Detection:
    """Return a face of a tile in pixels of the picture. corner: left and top of the tile. factor: float32 (2,)."""
    x, y, width, height = face.box
    (left, top), (across, down) = corner, factor.tolist()
    box = ((x + left) * across, (y + top) * down, width * across, height * down)
    return Detection(box, (face.landmarks + np.array(corner, np.float32)) * factor, face.score)


def _tiles(image: Pixels) -> Iterator[tuple[int, int, Pixels, Box]]:
    """Yield left, top and pixels of each tile, and the box (left, top, right, bottom) within which a face is whole: up
    to the border of the tile where that is the picture's, else short of it.
    """
    height, width = image.shape[:2]
    for (top, down), (left, across) in product(spans(height), spans(width)):
        margin = OVERLAP // 8
        x, y = margin if left else -math.inf, margin if top else -math.inf
        right = across - margin if left + across < width else math.inf
        bottom = down - margin if top + down < height else math.inf
        part = np.ascontiguousarray(image[top : top + down, left : left + across])
        yield left, top, part, (x, y, right, bottom)


def spans(length: int) -> list[tuple[int, int]]:
    """Return start and length of the tiles along one side of a picture, in pixels: the fewest of equal length, up to
    TILE, whose neighbours share at least OVERLAP.
    """
    count = max(1, math.ceil((length - OVERLAP) / (TILE - OVERLAP)))
    size = math.ceil((length + (count - 1) * OVERLAP) / count)
    return [(round(number * (length - size) / max(1, count - 1)), size) for number in range(count)]


def _within(box: Box, inner: Box) -> bool:
    """Return whether a box lies within inner: left, top, right and bottom."""
    x, y, width, height = box
    left, top, right, bottom = inner
    return x >= left and y >= top and x + width <= right and y + height <= bottom


def _distinct(candidates: Sequence[Detection], known: Sequence[Detection]) -> list[Detection]:
    """Return the candidates, best first, that are not a known face, part of one, or another candidate's."""
    kept: list[Detection] = []
    for face in sorted(candidates, key=lambda face: -face.score):
        if all(overlap(face.box, other.box) <= SAME and not _inside(face, other) for other in (*known, *kept)):
            kept.append(face)
    return kept


def _inside(face: Detection, other: Detection) -> bool:
    """Return whether the centre of the face lies in the box of the other: there is no face on a face."""
    (x, y), (left, top, width, height) = face.centre, other.box
    return left <= x <= left + width and top <= y <= top + height
