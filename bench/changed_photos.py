"""Changes to photos after which a face in them should still be found. Used by bench/faceless.py."""

from collections.abc import Callable
from typing import Final

import cv2
import numpy as np

from worker.vision.geometry import rotate

QUALITY: Final = 95
"""JPEG quality of a changed photo."""
WIDE: Final = (1200, 900)
"""Width and height in pixels of a photo with one small face."""

Change = Callable[[np.ndarray], np.ndarray]
"""Takes and returns an image: uint8 (H, W, 3)."""


def askew(image: np.ndarray, degrees: float) -> np.ndarray:
    """Return the photo as a phone held askew takes it: corners cut off, the rest of the frame black."""
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1)
    return np.asarray(cv2.warpAffine(image, matrix, (width, height)))


def scaled(image: np.ndarray, factor: float) -> np.ndarray:
    return np.asarray(cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA))


def brighter(image: np.ndarray, factor: float) -> np.ndarray:
    return np.asarray(np.clip(image * factor, 0, 255).astype(np.uint8))


def small_in(image: np.ndarray, side: int) -> np.ndarray:
    """Return a photo of WIDE pixels, blurred but for this one in it, `side` pixels on its longer side."""
    background = cv2.GaussianBlur(cv2.resize(image[:40, :40], WIDE, interpolation=cv2.INTER_CUBIC), (0, 0), 25)
    part = scaled(image, side / max(image.shape[:2]))
    background[300 : 300 + part.shape[0], 600 : 600 + part.shape[1]] = part
    return np.asarray(background)


def _turn(degrees: int) -> Change:
    return lambda image: rotate(image, degrees)[0]


CHANGES: Final[dict[str, tuple[Change, int]]] = {
    **{f"turned by {degrees}": (_turn(degrees), QUALITY) for degrees in range(15, 360, 15)},
    "held askew by 30": (lambda image: askew(image, 30), QUALITY),
    "held askew by 45": (lambda image: askew(image, 45), QUALITY),
    "half the size": (lambda image: scaled(image, 0.5), QUALITY),
    "a quarter of the size": (lambda image: scaled(image, 0.25), QUALITY),
    "JPEG quality 30": (lambda image: image, 30),
    "brightness x 0.5": (lambda image: brighter(image, 0.5), QUALITY),
    "brightness x 1.5": (lambda image: brighter(image, 1.5), QUALITY),
    "mirrored": (lambda image: image[:, ::-1], QUALITY),
    "small in a large photo": (lambda image: small_in(image, 52), QUALITY),
}


def written(image: np.ndarray, quality: int = QUALITY) -> bytes:
    return bytes(cv2.imencode(".jpg", np.ascontiguousarray(image), [cv2.IMWRITE_JPEG_QUALITY, quality])[1])
