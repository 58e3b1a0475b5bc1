"""Where faces are and how they are laid straight. Pure functions of numbers and pixels.

Pixels are (x, y) with the centre of the first pixel at (0, 0), x to the right and y down.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
"""uint8, shape (height, width, 3), BGR, C-contiguous."""

Points = npt.NDArray[np.float32]
"""float32, shape (5, 2): (x, y) of right eye, left eye, nose tip, right and left mouth corner (the person's right)."""


Box = tuple[float, float, float, float]
"""x, y, width, height."""


@dataclass(frozen=True, eq=False)  # arrays have no single truth value, so no ==
class Detection:
    """One face found in an image. box: in pixels; may reach over the border. score in [0, 1].

    refined_score: the detector's on the upright crop around the face, [0, 1], which depends on neither the face's size
    nor its tilt; None as long as the face was not looked at there, 0 where it is not found there.
    """

    box: Box
    landmarks: Points
    score: float
    refined_score: float | None = None

    @property
    def centre(self) -> tuple[float, float]:
        """Of the box: x, y."""
        x, y, width, height = self.box
        return x + width / 2, y + height / 2

    @property
    def area(self) -> float:
        """Of the box, in pixels."""
        return self.box[2] * self.box[3]

    @property
    def middle(self) -> tuple[float, float]:
        """Of the landmarks: x, y. A tilt of the face does not move it."""
        x, y = self.landmarks.mean(axis=0).tolist()
        return x, y


class CropScores(NamedTuple):
    """What the detector scores a face on three more upright crops, each in [0, 1], 0 where it is not found: where the
    face has 0.6 and 1.3 times the size that it is refined at, and mirrored. A face is one on all of them, and most of
    what only looks like one is not.
    """

    smaller: float
    larger: float
    mirrored: float


CROP_SIZE = 112

REFINEMENT_SIDE = 224
"""Side in pixels of the crop on which a face is refined; a multiple of the detector's coarsest stride."""

# There faces have 1.5 times the size they have in a crop to embed: about 120 pixels wide, half of the side. Of what was
# tried (0.7 to 2 times, sides of 160 to 320) the surest on LFW, upright and tilted: docs/decisions/0011-detection.md.
REFINEMENT_SCALE = 1.5

ALIKE = 0.75
"""Part of the largest box's area from which on a face counts as large as it: a side is within an eighth, which is how
far boxes of one face at two working sizes are apart."""

SAME_WITHIN = 0.25
"""Sides of a face by which its landmarks may move, middle to middle, when they are refined. What is further away is a
neighbour: of 1,296 photos with several faces the nearest face on a crop was another one in a single case."""

# A face of 7,168 pixels. Only landmarks that are no face's ask for more, and would ask for more memory than there is.
_MOST_SHRINK = 64

# Where the five points lie in the 112 x 112 crop that ArcFace-style models are trained on. Source: InsightFace,
# python-package/insightface/utils/face_align.py, arcface_dst; OpenCV's FaceRecognizerSF uses the same numbers.
TEMPLATE: Points = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]],
    dtype=np.float32,
)
TEMPLATE.setflags(write=False)


def similarity_transform(src: npt.ArrayLike, dst: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """The rotation, uniform scale and shift that bring src closest to dst in the least squares sense.

    src, dst: (N, 2). Returns float64 (2, 3), to be applied as M[:, :2] @ point + M[:, 2]. Never mirrors.
    Raises ValueError when all points of src are the same, or any is not finite.

    In two dimensions Umeyama's solution (S. Umeyama, "Least-squares estimation of transformation parameters between
    two point patterns", PAMI 13(4), 1991) needs no SVD: read points as complex numbers, and scale times rotation is
    the one complex factor sum(conj(s) d) / sum(|s|^2) of the centred points.
    """
    source = np.asarray(src, dtype=np.float64)
    target = np.asarray(dst, dtype=np.float64)
    if not (np.isfinite(source).all() and np.isfinite(target).all()):
        raise ValueError("points must be finite")
    source_mean, target_mean = source.mean(axis=0), target.mean(axis=0)
    s, d = source - source_mean, target - target_mean
    spread = float((s * s).sum())
    if spread == 0:
        raise ValueError("the points of src must not all be the same")
    a = float((s * d).sum()) / spread
    b = float((s[:, 0] * d[:, 1] - s[:, 1] * d[:, 0]).sum()) / spread
    linear = np.array([[a, -b], [b, a]])
    return np.column_stack([linear, target_mean - linear @ source_mean])


def align(image: Pixels, landmarks: Points, size: int = CROP_SIZE) -> Pixels:
    """The face as an upright crop, uint8 (size, size, 3), its five points on the template. Outside the image: black.

    Raises ValueError when the landmarks are all the same point, not finite, or like no face at all.
    """
    return _warped(image, similarity_transform(landmarks, TEMPLATE * (size / CROP_SIZE)), size)


def face_crop(
    image: Pixels, landmarks: Points, side: int = REFINEMENT_SIDE, enlarged: float = REFINEMENT_SCALE
) -> tuple[Pixels, npt.NDArray[np.float64]]:
    """The upright face and what is around it, uint8 (side, side, 3), and the matrix of `similarity_transform` that
    brings points of the image there. enlarged: how many times the size that faces have in a crop to embed. Raises
    ValueError as `align` does.
    """
    matrix = similarity_transform(landmarks, (TEMPLATE - CROP_SIZE / 2) * enlarged + side / 2)
    return _warped(image, matrix, side), matrix


def transform(points: npt.ArrayLike, matrix: npt.NDArray[np.float64]) -> Points:
    """Points (N, 2) to where a matrix (2, 3) brings them, float32 (N, 2)."""
    return np.asarray(np.asarray(points, np.float64) @ matrix[:, :2].T + matrix[:, 2], dtype=np.float32)


def transform_back(points: npt.ArrayLike, matrix: npt.NDArray[np.float64]) -> Points:
    """Points (N, 2) to where a matrix (2, 3) brought them from, float32 (N, 2)."""
    inverse = np.linalg.inv(matrix[:, :2])
    return np.asarray((np.asarray(points, np.float64) - matrix[:, 2]) @ inverse.T, dtype=np.float32)


def resize(image: Pixels, side: int) -> tuple[Pixels, npt.NDArray[np.float32]]:
    """The image with its longest side made `side`, the other in proportion but at least 1; and what coordinates in it
    are to be multiplied with to be the image's own: float32 (2,), of x and of y.
    """
    halvings = 0
    # Halves average whole blocks, as area averaging does, at a tenth of its time; what is left is less than a half,
    # where interpolation has next to no aliasing.
    while min(image.shape[:2]) >= 2 and max(image.shape[:2]) >= 2 * side:
        height, width = (size // 2 * 2 for size in image.shape[:2])
        even = image[:height, :width]
        image = np.asarray(cv2.resize(even, (width // 2, height // 2), interpolation=cv2.INTER_AREA), dtype=np.uint8)
        halvings += 1
    height, width = image.shape[:2]
    longest = max(height, width)
    size = (max(1, round(width * side / longest)), max(1, round(height * side / longest)))
    # The sides are rounded to whole pixels each for itself, so each has its own factor.
    factor = np.array([width / size[0], height / size[1]], dtype=np.float32) * np.float32(2**halvings)
    if size != (width, height):
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_LINEAR), dtype=np.uint8)
    return image, factor


def rotate(image: Pixels, degrees: float) -> tuple[Pixels, npt.NDArray[np.float64]]:
    """The whole image turned counter-clockwise, what is beside it black; and the matrix (2, 3) that brings points of it
    there.
    """
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1)
    across, down = abs(matrix[0, 0]), abs(matrix[0, 1])
    size = (round(width * across + height * down), round(width * down + height * across))
    moved = np.column_stack([matrix[:, :2], matrix[:, 2] + np.subtract(size, (width, height)) / 2])
    return np.asarray(cv2.warpAffine(image, moved, size), dtype=np.uint8), moved


def roll(landmarks: Points) -> float:
    """By how many degrees, -180 to 180, a face must be turned clockwise to be upright. Raises ValueError as `align`."""
    matrix = similarity_transform(landmarks, TEMPLATE)
    return math.degrees(math.atan2(matrix[1, 0], matrix[0, 0]))


def _warped(image: Pixels, matrix: npt.NDArray[np.float64], size: int) -> Pixels:
    shrink = int(1 / max(math.hypot(matrix[0, 0], matrix[1, 0]), 1 / _MOST_SHRINK))
    if shrink >= 2:
        # warpAffine looks at four pixels for each of the crop's, however many lie between: average those first.
        image, matrix = _shrunk(image, matrix, shrink, size)
    return np.asarray(cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_LINEAR), dtype=np.uint8)


def _shrunk(
    image: Pixels, matrix: npt.NDArray[np.float64], by: int, size: int
) -> tuple[Pixels, npt.NDArray[np.float64]]:
    """The part of the image that a warp by `matrix` to size x size looks at, `by` times smaller, and its matrix."""
    inverse = np.linalg.inv(matrix[:, :2])
    corners = (np.array([[0, 0], [size, 0], [0, size], [size, size]]) - matrix[:, 2]) @ inverse.T
    limit = np.array(image.shape[1::-1])
    # A margin of one averaged pixel, for the warp's own interpolation.
    low = np.clip(np.floor(corners.min(axis=0)) - by, 0, limit - 1).astype(int)
    high = np.clip(np.ceil(corners.max(axis=0)) + by, low + 1, limit).astype(int)
    part = image[low[1] : high[1], low[0] : high[0]]
    # Whole blocks only: the rest of a block at the far border is padded with that border.
    height, width = part.shape[:2]
    blocks = cv2.copyMakeBorder(part, 0, -height % by, 0, -width % by, cv2.BORDER_REPLICATE)
    small = cv2.resize(blocks, None, fx=1 / by, fy=1 / by, interpolation=cv2.INTER_AREA)
    # Pixel p of the small image is the centre of a block: original = by * p + (by - 1) / 2 + low.
    linear = matrix[:, :2] * by
    shift = matrix[:, :2] @ (low + (by - 1) / 2) + matrix[:, 2]
    return np.asarray(small, dtype=np.uint8), np.column_stack([linear, shift])


def overlap(first: Box, second: Box) -> float:
    """Intersection over union of two boxes, 0 to 1."""
    sides = (
        max(0.0, min(first[axis] + first[axis + 2], second[axis] + second[axis + 2]) - max(first[axis], second[axis]))
        for axis in (0, 1)
    )
    shared = math.prod(sides)
    both = first[2] * first[3] + second[2] * second[3] - shared
    return min(1.0, shared / both) if both else 0.0


def distance(first: Detection, second: Detection) -> float:
    """How far the landmarks of two detections are apart, middle to middle, in sides of the first one's box."""
    return math.dist(first.middle, second.middle) / math.sqrt(first.area) if first.area else math.inf


def scaled(detection: Detection, factor: float) -> Detection:
    """The detection in an image that is factor times as large."""
    x, y, width, height = detection.box
    box = (x * factor, y * factor, width * factor, height * factor)
    return replace(detection, box=box, landmarks=detection.landmarks * np.float32(factor))


class Placed(Protocol):
    """What has a size, in pixels, and lies somewhere: its centre's x and y."""

    @property
    def area(self) -> float: ...

    @property
    def centre(self) -> tuple[float, float]: ...


P = TypeVar("P", bound=Placed)


def left_to_right(detections: Iterable[P], degrees: float = 0) -> list[P]:
    """By the middle of the box in x, then in y, of the image turned by those degrees counter-clockwise."""
    across, down = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))

    def there(detection: P) -> tuple[float, float]:
        x, y = detection.centre
        return x * across + y * down, y * across - x * down

    return sorted(detections, key=there)


def most_prominent(detections: Iterable[P], image_size: tuple[int, int]) -> P:
    """Of the largest by box area, ALIKE or more of the very largest, the most central. image_size: width, height.

    Raises ValueError when there is none.
    """
    found = list(detections)
    least = ALIKE * max(detection.area for detection in found)
    middle = (image_size[0] / 2, image_size[1] / 2)
    return min((d for d in found if d.area >= least), key=lambda d: (math.dist(d.centre, middle), -d.area))
