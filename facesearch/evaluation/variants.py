"""Altered photos of one face: darker, saved again, slightly rotated."""

import cv2
import numpy as np

from worker.vision.decode import decode
from worker.vision.geometry import Pixels


def variants(data: bytes, max_pixels: int) -> dict[str, bytes]:
    """Return altered copies of an encoded photo, encoded, by what was altered. max_pixels: most pixels of the photo.

    Raises ImageUnreadable.
    """
    image = decode(data, max_pixels=max_pixels)
    return {
        "half as bright": _encoded(".png", (image * 0.5).astype(np.uint8)),
        "saved again at JPEG quality 40": _encoded(".jpg", image, cv2.IMWRITE_JPEG_QUALITY, 40),
        "turned by 8 degrees": _encoded(".png", _rotated(image, 8)),
    }


def _rotated(image: Pixels, degrees: float) -> Pixels:
    """Rotate about the centre, counter-clockwise, and repeat the border around it."""
    height, width = image.shape[:2]
    turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1)
    return np.asarray(cv2.warpAffine(image, turn, (width, height), borderMode=cv2.BORDER_REPLICATE), np.uint8)


def _encoded(suffix: str, image: Pixels, *options: int) -> bytes:
    return cv2.imencode(suffix, image, options)[1].tobytes()
