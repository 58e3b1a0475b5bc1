"""Detections, and the transforms that crop and align them. Pure functions.

Coordinates are (x, y) in pixels with the centre of the first pixel at (0, 0), x to the right and y down.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
"""A decoded image: uint8, shape (height, width, 3), BGR, C-contiguous."""

Points = npt.NDArray[np.float32]
"""Landmarks: float32, shape (5, 2), (x, y) of right eye, left eye, nose tip, right and left mouth corner (the person's
right)."""


Box = tuple[float, float, float, float]
"""x, y, width, height."""


@dataclass(frozen=True, eq=False)  # arrays have no single truth value, so no ==
class Detection:
    """One detected face. box: in pixels; may extend beyond the image. score: in [0, 1].

    refined_score: the detector's score on an upright crop around the face, in [0, 1], which depends on neither the size
    nor the tilt of the face; None before refinement, 0 if the face was not found there.
    """

    box: Box
    landmarks: Points
    score: float
    refined_score: float | None = None

    @property
    def centre(self) -> tuple[float, float]:
        """Centre of the box: x, y."""
        x, y, width, height = self.box
        return x + width / 2, y + height / 2

    @property
    def area(self) -> float:
        """Area of the box in pixels."""
        return self.box[2] * self.box[3]

    @property
    def middle(self) -> tuple[float, float]:
        """Mean of the landmarks: x, y. A tilt of the face does not move it."""
        x, y = self.landmarks.mean(axis=0).tolist()
        return x, y


class CropScores(NamedTuple):
    """The detector's scores of a face on three more upright crops, each in [0, 1], 0 where it is not found: at 0.6 and
    1.3 times the size of the refinement crop, and mirrored. A face is found on all of them; most false detections are
    not.
    """

    smaller: float
    larger: float
    mirrored: float


CROP_SIZE = 112

REFINEMENT_SIDE = 224
"""Side in pixels of the crop for refinement; a multiple of the detector's coarsest stride."""

# Size of a face in the refinement crop, relative to an aligned one: about 120 pixels wide, half of the side. Of what
# was tried (0.7 to 2 times, sides of 160 to 320) the most reliable on LFW, upright and tilted:
# docs/decisions/0011-detection.md.
REFINEMENT_SCALE = 1.5

PROMINENT_PART = 0.75
"""Part of the largest box's area from which on a face counts as equally large: a side within an eighth, which is how
much the boxes of one face differ between two sizes of a pass."""

SAME_WITHIN = 0.25
"""Farthest that refinement may move the middle of a face's landmarks, in sides of the face. Farther away is a
neighbour: of 1,296 photos with several faces the nearest face on a crop was another one in a single case."""

# A face of 7,168 pixels. Only landmarks of false detections need more, and would need more memory than there is.
_MOST_SHRINK = 64

# Turns counter-clockwise that move whole pixels: an eighth of the time of a warp.
_QUARTERS: Mapping[float, int] = {90: cv2.ROTATE_90_COUNTERCLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_CLOCKWISE}

# The landmarks in the 112 x 112 crop that ArcFace-style models are trained on. Source: InsightFace,
# python-package/insightface/utils/face_align.py, arcface_dst; OpenCV's FaceRecognizerSF uses the same numbers.
TEMPLATE: Points = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]],
    dtype=np.float32,
)
TEMPLATE.setflags(write=False)


def similarity_transform(src: npt.ArrayLike, dst: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return the rotation, uniform scale and shift that bring src closest to dst in the least squares sense.

    src, dst: (N, 2). Returns float64 (2, 3), to be applied as M[:, :2] @ point + M[:, 2]. Never mirrors. Raises
    ValueError if all points of src are equal, or any is not finite.

    In two dimensions Umeyama's solution (S. Umeyama, "Least-squares estimation of transformation parameters between two
    point patterns", PAMI 13(4), 1991) needs no SVD: with points as complex numbers, scale times rotation is the complex
    factor sum(conj(s) d) / sum(|s|^2) of the centred points.
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
    """Return the aligned face, uint8 (size, size, 3), its landmarks on the template. Black outside the image.

    Raises ValueError if the landmarks are all equal, not finite, or unlike any face.
    """
    return _warped(image, similarity_transform(landmarks, TEMPLATE * (size / CROP_SIZE)), size)


def face_crop(
    image: Pixels, landmarks: Points, side: int = REFINEMENT_SIDE, enlarged: float = REFINEMENT_SCALE
) -> tuple[Pixels, npt.NDArray[np.float64]]:
    """Return the upright face and its surroundings, uint8 (side, side, 3), and the matrix of `similarity_transform`
    from the image to the crop. enlarged: size of the face relative to an aligned one. Raises ValueError as `align`
    does.
    """
    matrix = similarity_transform(landmarks, (TEMPLATE - CROP_SIZE / 2) * enlarged + side / 2)
    return _warped(image, matrix, side), matrix


def transform(points: npt.ArrayLike, matrix: npt.NDArray[np.float64]) -> Points:
    """Apply a matrix (2, 3) to points (N, 2). Returns float32 (N, 2)."""
    return np.asarray(np.asarray(points, np.float64) @ matrix[:, :2].T + matrix[:, 2], dtype=np.float32)


def transform_back(points: npt.ArrayLike, matrix: npt.NDArray[np.float64]) -> Points:
    """Apply the inverse of a matrix (2, 3) to points (N, 2). Returns float32 (N, 2)."""
    inverse = np.linalg.inv(matrix[:, :2])
    return np.asarray((np.asarray(points, np.float64) - matrix[:, 2]) @ inverse.T, dtype=np.float32)


def resize(image: Pixels, side: int) -> tuple[Pixels, npt.NDArray[np.float32]]:
    """Return the image with its longest side resized to `side`, the other in proportion but at least 1; and the factor,
    float32 (2,), x and y, by which to multiply its coordinates to get the image's.
    """
    halvings = 0
    # Halving averages whole blocks, as area averaging does, in a tenth of its time; what remains is less than a half,
    # where interpolation has next to no aliasing.
    while min(image.shape[:2]) >= 2 and max(image.shape[:2]) >= 2 * side:
        height, width = (size // 2 * 2 for size in image.shape[:2])
        even = image[:height, :width]
        image = np.asarray(cv2.resize(even, (width // 2, height // 2), interpolation=cv2.INTER_AREA), dtype=np.uint8)
        halvings += 1
    height, width = image.shape[:2]
    longest = max(height, width)
    size = (max(1, round(width * side / longest)), max(1, round(height * side / longest)))
    # Each side is rounded to whole pixels, so each has its own factor.
    factor = np.array([width / size[0], height / size[1]], dtype=np.float32) * np.float32(2**halvings)
    if size != (width, height):
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_LINEAR), dtype=np.uint8)
    return image, factor


def rotate(image: Pixels, degrees: float) -> tuple[Pixels, npt.NDArray[np.float64]]:
    """Return the whole image rotated counter-clockwise, with black around it, and the matrix (2, 3) from the image to
    it.
    """
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1)
    across, down = abs(matrix[0, 0]), abs(matrix[0, 1])
    size = (round(width * across + height * down), round(width * down + height * across))
    moved = np.column_stack([matrix[:, :2], matrix[:, 2] + np.subtract(size, (width, height)) / 2])
    quarter = _QUARTERS.get(degrees % 360)
    turned = cv2.warpAffine(image, moved, size) if quarter is None else cv2.rotate(image, quarter)
    return np.asarray(turned, dtype=np.uint8), moved


def rotated_thumbnail(image: Pixels, degrees: float, side: int) -> Pixels:
    """Return the whole image rotated counter-clockwise and resized to `side` pixels on its longest side, in the middle
    of a black square, uint8 (side, side, 3). For images of at most twice that side: pixels are interpolated.
    """
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1)
    scale = side / float((np.abs(matrix[:, :2]) @ (width, height)).max())
    linear = matrix[:, :2] * scale
    shift = (side - 1) / 2 - linear @ ((width - 1) / 2, (height - 1) / 2)
    return np.asarray(cv2.warpAffine(image, np.column_stack([linear, shift]), (side, side)), dtype=np.uint8)


def roll(landmarks: Points) -> float:
    """Return the clockwise rotation, -180 to 180 degrees, that makes a face upright. Raises ValueError as `align`
    does.
    """
    matrix = similarity_transform(landmarks, TEMPLATE)
    return math.degrees(math.atan2(matrix[1, 0], matrix[0, 0]))


def _warped(image: Pixels, matrix: npt.NDArray[np.float64], size: int) -> Pixels:
    shrink = int(1 / max(math.hypot(matrix[0, 0], matrix[1, 0]), 1 / _MOST_SHRINK))
    if shrink >= 2:
        # warpAffine reads four pixels for each of the crop's, however many lie between: average those first.
        image, matrix = _shrunk(image, matrix, shrink, size)
    return np.asarray(cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_LINEAR), dtype=np.uint8)


def _shrunk(
    image: Pixels, matrix: npt.NDArray[np.float64], by: int, size: int
) -> tuple[Pixels, npt.NDArray[np.float64]]:
    """Return the part of the image that a warp by `matrix` to size x size reads, reduced `by` times, and its matrix."""
    inverse = np.linalg.inv(matrix[:, :2])
    corners = (np.array([[0, 0], [size, 0], [0, size], [size, size]]) - matrix[:, 2]) @ inverse.T
    limit = np.array(image.shape[1::-1])
    # A margin of one averaged pixel, for the warp's own interpolation.
    low = np.clip(np.floor(corners.min(axis=0)) - by, 0, limit - 1).astype(int)
    high = np.clip(np.ceil(corners.max(axis=0)) + by, low + 1, limit).astype(int)
    part = image[low[1] : high[1], low[0] : high[0]]
    # Whole blocks only: a partial block at the far border is padded with that border.
    height, width = part.shape[:2]
    blocks = cv2.copyMakeBorder(part, 0, -height % by, 0, -width % by, cv2.BORDER_REPLICATE)
    small = cv2.resize(blocks, None, fx=1 / by, fy=1 / by, interpolation=cv2.INTER_AREA)
    # Pixel p of the small image is the centre of a block: original = by * p + (by - 1) / 2 + low.
    linear = matrix[:, :2] * by
    shift = matrix[:, :2] @ (low + (by - 1) / 2) + matrix[:, 2]
    return np.asarray(small, dtype=np.uint8), np.column_stack([linear, shift])


def overlap(first: Box, second: Box) -> float:
    """Return the intersection over union of two boxes, 0 to 1."""
    sides = (
        max(0.0, min(first[axis] + first[axis + 2], second[axis] + second[axis + 2]) - max(first[axis], second[axis]))
        for axis in (0, 1)
    )
    shared = math.prod(sides)
    both = first[2] * first[3] + second[2] * second[3] - shared
    return min(1.0, shared / both) if both else 0.0


def distance(first: Detection, second: Detection) -> float:
    """Return the distance between the middles of two detections, in sides of the first one's box."""
    return math.dist(first.middle, second.middle) / math.sqrt(first.area) if first.area else math.inf


def scaled(detection: Detection, factor: float) -> Detection:
    """Return the detection in an image that is `factor` times as large."""
    x, y, width, height = detection.box
    box = (x * factor, y * factor, width * factor, height * factor)
    return replace(detection, box=box, landmarks=detection.landmarks * np.float32(factor))


def as_sent(box: Box, reduction: int) -> Box:
    """Return a box in pixels of the upright image as sent, in which (0, 0) is the corner of the first pixel. reduction:
    factor by which the image was reduced when it was decoded.
    """
    x, y, width, height = box
    return (x + 0.5) * reduction, (y + 0.5) * reduction, width * reduction, height * reduction


class Placed(Protocol):
    """A thing with an area in pixels and a centre, x and y."""

    @property
    def area(self) -> float: ...

    @property
    def centre(self) -> tuple[float, float]: ...


P = TypeVar("P", bound=Placed)


def left_to_right(detections: Iterable[P], degrees: float = 0) -> list[P]:
    """Sort by the centre of the box in x, then in y, of the image rotated by those degrees counter-clockwise."""
    across, down = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))

    def there(detection: P) -> tuple[float, float]:
        x, y = detection.centre
        return x * across + y * down, y * across - x * down

    return sorted(detections, key=there)


def most_prominent(detections: Iterable[P], image_size: tuple[int, int]) -> P:
    """Return the most prominent: of those with PROMINENT_PART of the largest area or more, the most central.
    image_size: width, height.

    Raises ValueError if there is none.
    """
    found = list(detections)
    least = PROMINENT_PART * max(detection.area for detection in found)
    middle = (image_size[0] / 2, image_size[1] / 2)
    return min((d for d in found if d.area >= least), key=lambda d: (math.dist(d.centre, middle), -d.area))
