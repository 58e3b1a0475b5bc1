"""From image bytes to pixels, always by the same path, to enrol and to search."""

import re
from collections.abc import Callable, Iterable
from typing import Any, Final

import cv2
import numpy as np
import simplejpeg

from shared.errors import ImageUnreadable
from shared.imagefile.jpeg import START as JPEG_START
from worker.vision import bmp, jpeg, png
from worker.vision.geometry import Image

# JPEG decodes at 1/2 or 1/4 of its size for a fraction of the work. From these longest sides on, what is left is
# still no smaller than the 640 pixels at which faces are looked for.
_HALF_FROM: Final = 1280
_QUARTER_FROM: Final = 2560

_MODES: Final = {1: cv2.IMREAD_COLOR, 2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4}

_STRIP: Final = 64

# What libjpeg says where a scan asks for more bits than it has, and where another marker stands for a restart mark.
_CUT_OFF: Final = re.compile(r"premature end of data segment|found marker 0x(?!d[0-7])")

# What it says of what follows on the last scan. It tells its first warning only, so nothing was wrong before; but where
# there are restart marks, whole intervals may be missing.
_BEHIND_ALL: Final = re.compile("extraneous bytes before marker 0xd9")

# What libjpeg says where it gets no memory.
_NO_MEMORY: Final = "Insufficient memory"

# Bytes that a progressive JPEG takes for each pixel at most, until its last scan: four components of 16 bits.
_COEFFICIENT_BYTES: Final = 8

# More entropy-coded data, none of which matters to a scan that has all of its own. It is more than a block, of which a
# reduced image shows only a part. Their first bits differ.
_MORE_DATA: Final = (b"\xaa" * 64, b"\x00" * 64)

# How what is stored is turned to be upright, by its EXIF orientation.
_TURNS: Final[dict[int, Callable[[Image], Any]]] = {
    2: lambda image: cv2.flip(image, 1),
    3: lambda image: cv2.rotate(image, cv2.ROTATE_180),
    4: lambda image: cv2.flip(image, 0),
    5: cv2.transpose,
    6: lambda image: cv2.rotate(image, cv2.ROTATE_90_CLOCKWISE),
    7: lambda image: cv2.rotate(cv2.transpose(image), cv2.ROTATE_180),
    8: lambda image: cv2.rotate(image, cv2.ROTATE_90_COUNTERCLOCKWISE),
}


def configure_opencv() -> None:
    """Set OpenCV for a worker, for the whole process: one thread a call, and nothing written to stderr.

    One job per core already keeps all cores busy; OpenCV's own pool would only fight over them. libjpeg and libpng
    still have a line on stderr for a damaged image, which nothing can turn off: see worker/native_stderr.py.
    """
    cv2.setNumThreads(1)
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


def decode(data: bytes, *, whole: bool = False) -> Image:
    """JPEG, PNG or BMP to uint8 (H, W, 3) BGR, C-contiguous, upright by its EXIF orientation.

    Large JPEGs come at 1/2 or 1/4 of their size, unless the whole is asked for. Grey, palette, CMYK and 16-bit images
    become 8-bit BGR; alpha is dropped; of an animation or several pictures in one file it is the first. Raises
    ImageUnreadable on everything else and on what is cut off or damaged; MemoryError where there is not enough memory,
    which says nothing of the image.

    The caller bounds the number of pixels beforehand, by the header.
    """
    if data.startswith(JPEG_START):
        return _jpeg(data, whole=whole)
    if data.startswith(png.START):
        return _pixels(png.plain(data), cv2.IMREAD_COLOR)
    if data.startswith(bmp.START):
        return bmp.decode(data)
    raise ImageUnreadable("neither JPEG, PNG nor BMP")


def reduction(data: bytes) -> int:
    """How many times smaller than it was sent an image is that `decode` takes: 1, 2 or 4."""
    return _reduction(jpeg.longest_side(data)) if data.startswith(JPEG_START) else 1


def _reduction(longest: int) -> int:
    if longest < _HALF_FROM:
        return 1
    return 2 if longest < _QUARTER_FROM else 4


def _pixels(data: bytes, mode: int) -> Image:
    try:
        image = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), mode)
    except cv2.error as error:
        if error.code == cv2.Error.StsNoMem:
            raise MemoryError("OpenCV has no memory for it") from error
        raise ImageUnreadable("OpenCV refuses it") from error
    if image is None:
        raise ImageUnreadable("OpenCV cannot decode it")
    return np.ascontiguousarray(image, dtype=np.uint8)


def _jpeg(data: bytes, *, whole: bool) -> Image:
    picture = jpeg.walk(data)
    scale = 1 if whole else _reduction(picture.longest_side)
    mode = _MODES[scale] | cv2.IMREAD_IGNORE_ORIENTATION
    plain = picture.plain()
    try:
        colours = simplejpeg.decode_jpeg_header(plain)[2]
    except ValueError:  # libjpeg-turbo's own interface knows common subsamplings and versions of JFIF alone
        image = _unusual(picture, mode)
    else:
        four = colours in {"CMYK", "YCCK"}
        # The side that is not asked for follows from the other one.
        side = "min_width" if picture.width >= picture.height else "min_height"
        at_least = {side: -(-picture.longest_side // scale)}
        try:
            image = np.asarray(simplejpeg.decode_jpeg(plain, "CMYK" if four else "BGR", **at_least), dtype=np.uint8)
            image = _without_ink(image) if four else image
        except ValueError as error:
            if _NO_MEMORY in str(error):
                raise MemoryError(str(error)) from None
            if _CUT_OFF.search(str(error)):
                raise ImageUnreadable("JPEG is cut off in a scan") from None
            # What else libjpeg warns of, browsers show. After a warning this interface tells nothing more.
            image = _pixels(plain, mode)
            if picture.restarts or not _BEHIND_ALL.search(str(error)):
                _require_whole_scans(picture, image, mode, _MORE_DATA[:1])
    turn = _TURNS.get(picture.orientation)
    return np.ascontiguousarray(turn(image)) if turn else image


def _without_ink(image: Image) -> Image:
    """CMYK to BGR, as OpenCV makes it. Ink is stored inverted in every JPEG of four components, with an Adobe marker or
    without: so Photoshop writes it, and all browsers read it.
    """
    bgr = np.empty((*image.shape[:2], 3), np.uint8)
    for top in range(0, len(image), _STRIP):  # in strips: numbers of 16 bits of all of it would be twice the picture
        strip = image[top : top + _STRIP]
        black = strip[..., 3:].astype(np.uint16)
        covered = (255 - strip[..., 2::-1].astype(np.uint16)) * black >> 8
        bgr[top : top + _STRIP] = black - covered
    return bgr


def _unusual(picture: jpeg.Jpeg, mode: int) -> Image:
    """What hardly any encoder writes, by OpenCV. It does not say what was missing, nor that memory was: there is as
    much as it may take.
    """
    np.empty(picture.width * picture.height * _COEFFICIENT_BYTES, np.uint8)
    image = _pixels(picture.plain(), mode)
    _require_whole_scans(picture, image, mode, _MORE_DATA)
    return image


def _require_whole_scans(picture: jpeg.Jpeg, image: Image, mode: int, more_data: Iterable[bytes]) -> None:
    """Scans have all their data when what follows on it does not change the image that OpenCV makes."""
    for more in more_data:
        if cv2.norm(image, _pixels(picture.plain(more), mode), cv2.NORM_INF) != 0:
            raise ImageUnreadable("JPEG is cut off in a scan")
