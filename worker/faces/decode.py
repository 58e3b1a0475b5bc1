"""From image bytes to pixels, always by the same path, to enrol and to search."""

from typing import Final

import cv2
import numpy as np

from shared.errors import ImageUnreadable
from worker.faces import jpeg, png
from worker.faces.geometry import Image

# JPEG decodes at 1/2 or 1/4 of its size for a fraction of the work. From these longest sides on, what is left is
# still no smaller than the 640 pixels at which faces are looked for.
_HALF_FROM: Final = 1280
_QUARTER_FROM: Final = 2560

_MODES: Final = {1: cv2.IMREAD_COLOR, 2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4}

# What libjpeg puts where data ends too early: every coefficient 0. With four components, what OpenCV makes of it.
_MISSING: Final = 128
_MISSING_CMYK: Final = range(60, 70)

# Rows and columns of the last corner that must be grey before anything is suspected.
_CORNER: Final = (8, 48)

# What this many bytes hold lies within so many pixels of the end, of blocks 16 rows high: 2 bits for each 8 x 8.
_PROBE_BYTES: Final = 4
_PROBE_COLUMNS: Final = 128
_PROBE_ROWS: Final = 24  # and the colours of half a block above

_END: Final = b"\xff\xd9"
_RESTARTS: Final = bytes((*range(0xD0, 0xD8), 0xFF))


def configure_opencv() -> None:
    """Set OpenCV for a worker, for the whole process: one thread a call, and nothing written to stderr.

    One job per core already keeps all cores busy; OpenCV's own pool would only fight over them. libjpeg and libpng
    still have one line on stderr for a damaged image, which nothing can turn off.
    """
    cv2.setNumThreads(1)
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


def decode(data: bytes, *, whole: bool = False) -> Image:
    """JPEG, PNG or BMP to uint8 (H, W, 3) BGR, C-contiguous, upright by its EXIF orientation.

    Large JPEGs come at 1/2 or 1/4 of their size, unless the whole is asked for. Grey, palette, CMYK and 16-bit images
    become 8-bit BGR; alpha is dropped; of an animation or several pictures in one file it is the first. Raises
    ImageUnreadable on everything else and on what is cut off or damaged.

    The caller bounds the number of pixels beforehand, by the header.
    """
    if data.startswith(jpeg.START):
        return _jpeg(data, whole=whole)
    if data.startswith(png.START):
        return _pixels(png.plain(data), cv2.IMREAD_COLOR)
    if data.startswith(b"BM"):  # OpenCV's reader refuses short files by itself, and quietly
        return _pixels(data, cv2.IMREAD_COLOR)
    raise ImageUnreadable("neither JPEG, PNG nor BMP")


def reduction(data: bytes) -> int:
    """How many times smaller than it was sent an image is that `decode` takes: 1, 2 or 4."""
    return _reduction(jpeg.longest_side(data)) if data.startswith(jpeg.START) else 1


def _reduction(longest: int) -> int:
    if longest < _HALF_FROM:
        return 1
    return 2 if longest < _QUARTER_FROM else 4


def _pixels(data: bytes, mode: int) -> Image:
    try:
        image = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), mode)
    except cv2.error as error:
        raise ImageUnreadable("OpenCV refuses it") from error
    if image is None:
        raise ImageUnreadable("OpenCV cannot decode it")
    return np.ascontiguousarray(image, dtype=np.uint8)


def _jpeg(data: bytes, *, whole: bool) -> Image:
    structure = jpeg.walk(data)
    data = data[: structure.end]
    scale = 1 if whole else _reduction(max(structure.width, structure.height))
    mode = _MODES[scale]
    image = _pixels(data, mode)
    # By its orientation, the last block may be in any corner.
    if any(_is_missing(corner, structure) for corner in image[[0, 0, -1, -1], [0, -1, 0, -1]]):
        _require_whole(data, structure, mode, scale)
    return image


def _is_missing(part: Image, structure: jpeg.Jpeg) -> bool:
    """Whether pixels are what libjpeg puts where there is no data, or are of that colour by themselves."""
    first = int(part.flat[0])
    grey = first in _MISSING_CMYK if structure.components == 4 else first == _MISSING
    return grey and bool((part == first).all())


def _require_whole(data: bytes, structure: jpeg.Jpeg, mode: int, scale: int) -> None:
    """Raises ImageUnreadable when the image ends in a grey band because its data was cut off and an end put behind.

    A grey wall has its data, at least 2 bits a block: what the last bytes hold is the last corner. Where data was cut
    off, the last bytes belong to something else, further up. So without them another part of the image changes.
    Only for one scan; of several, what is missing was told by their headers or is the last bits of a fine image.
    """
    if len(structure.scans) != 1:
        return
    mode |= cv2.IMREAD_IGNORE_ORIENTATION
    image = _pixels(data, mode)
    rows, columns = (-(-side // scale) for side in _CORNER)
    if not _is_missing(image[-rows:, -columns:], structure):
        return
    start, end = structure.scans[0]
    end = start + len(data[start:end].rstrip(_RESTARTS))
    shorter = _pixels(data[: max(start, end - _PROBE_BYTES)] + _END, mode)
    lines = 1 + _PROBE_COLUMNS // structure.width
    end_rows, end_columns = -(-_PROBE_ROWS * lines // scale), -(-_PROBE_COLUMNS // scale)
    shorter[-end_rows:, -end_columns:] = image[-end_rows:, -end_columns:]
    if not np.array_equal(shorter, image):
        raise ImageUnreadable("JPEG was cut off and closed again")
