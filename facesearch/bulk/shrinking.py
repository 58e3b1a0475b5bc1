"""Makes photos smaller that are larger than the service takes."""

import math
from typing import Any, Final

import cv2

from facesearch.bulk.photos import Unusable
from shared.contract import MAX_IMAGE_BYTES, Status
from shared.errors import ImageUnreadable
from shared.imagefile.header import DEFAULT_MAX_PIXELS, read_header
from worker.vision.decode import configure_opencv, decode

QUALITY: Final = 90
"""Quality of the JPEGs, as in the Python client."""

MAX_JPEG_PIXELS: Final = 200_000_000
"""Most pixels of a JPEG: those of the largest cameras of phones. Beyond DEFAULT_MAX_PIXELS it is decoded at 1/4 of its
sides, so the pixels never take more than 150 MB.
"""

MAX_SIDE: Final = 65_500
"""Most pixels of a side that libjpeg writes (JPEG_MAX_DIMENSION)."""


def prepare() -> None:
    """Configure OpenCV for this process, before the first photo."""
    configure_opencv()


def shrunk(data: bytes, most: int = MAX_IMAGE_BYTES) -> bytes:
    """Return a JPEG of an encoded image of at most `most` bytes: upright, without metadata, and with as many of its
    pixels as fit. Raises Unusable if it cannot be decoded, as the service would not either, or has too many pixels.
    """
    try:
        header = read_header(data, MAX_JPEG_PIXELS)
        is_huge = header.width * header.height > DEFAULT_MAX_PIXELS
        limit = MAX_JPEG_PIXELS if header.kind == "jpeg" else DEFAULT_MAX_PIXELS
        picture: Any = decode(data, full_size=not is_huge, max_pixels=limit)
    except ImageUnreadable as error:
        raise Unusable(Status.IMAGE_INVALID_FORMAT, f"it cannot be made smaller: {error}") from None
    except MemoryError:
        raise Unusable(Status.IMAGE_INVALID_FORMAT, "it cannot be made smaller: not enough memory") from None
    height, width = picture.shape[:2]
    scale = min(1.0, MAX_SIDE / max(width, height))
    while True:
        size = (max(1, int(width * scale)), max(1, int(height * scale)))
        smaller = picture if scale == 1 else cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        encoded = cv2.imencode(".jpg", smaller, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()
        if len(encoded) <= most:
            return encoded
        # Bytes go with the pixels, a little less than in proportion.
        scale *= 0.97 * math.sqrt(most / len(encoded))
