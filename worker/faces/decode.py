"""From image bytes to pixels, always by the same path, to enrol and to search."""

import cv2
import numpy as np

from shared.errors import ImageUnreadable
from worker.faces.geometry import Image
from worker.faces.structure import jpeg_size

# JPEG decodes at 1/2 or 1/4 of its size for a fraction of the work. From these longest sides on, what is left is
# still no smaller than the 640 pixels at which faces are looked for.
_HALF_FROM = 1280
_QUARTER_FROM = 2560


def configure_opencv() -> None:
    """Set OpenCV for a worker, for the whole process: one thread a call, and nothing written to stderr.

    One job per core already keeps all cores busy; OpenCV's own pool would only fight over them.
    """
    cv2.setNumThreads(1)
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


def decode(data: bytes) -> Image:
    """JPEG, PNG or BMP to uint8 (H, W, 3) BGR, C-contiguous, upright by its EXIF orientation.

    Large JPEGs come at 1/2 or 1/4 of their size. Grey, palette, CMYK and 16-bit images become 8-bit BGR; alpha is
    dropped. Raises ImageUnreadable on everything else and on what is cut off or damaged.

    The caller bounds the number of pixels beforehand, by the header.
    """
    size = jpeg_size(data)
    try:
        image = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), _mode(size))
    except cv2.error as error:
        raise ImageUnreadable("OpenCV refuses it") from error
    if image is None:
        raise ImageUnreadable("OpenCV cannot decode it")
    return np.ascontiguousarray(image, dtype=np.uint8)


def _mode(size: tuple[int, int] | None) -> int:
    """OpenCV's reading mode for a JPEG of that size, or None for other formats: they only decode whole anyway."""
    if size is None or max(size) < _HALF_FROM:
        return cv2.IMREAD_COLOR
    return cv2.IMREAD_REDUCED_COLOR_2 if max(size) < _QUARTER_FROM else cv2.IMREAD_REDUCED_COLOR_4
