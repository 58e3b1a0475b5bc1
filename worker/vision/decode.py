"""Image bytes to pixels, by one path for enrolment and search."""

import re
from collections.abc import Callable, Iterable
from typing import Any, Final

import cv2
import numpy as np
import simplejpeg

from shared.errors import ImageUnreadable
from shared.imagefile.header import DEFAULT_MAX_PIXELS, Header, read_header
from worker.vision import bmp, jpeg, png
from worker.vision.geometry import Pixels

# A JPEG decodes at 1/2 or 1/4 of its size for a fraction of the work. From these longest sides on, the result is still
# no smaller than the 640 pixels of a full detection pass.
_HALF_FROM: Final = 1280
_QUARTER_FROM: Final = 2560

_MODES: Final = {1: cv2.IMREAD_COLOR, 2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4}

_STRIP: Final = 64

# libjpeg's warnings about a scan that needs more bits than it has, and about another marker in place of a restart.
_CUT_OFF: Final = re.compile(r"premature end of data segment|found marker 0x(?!d[0-7])")

# Its warning about data after the last scan. Only its first warning is known, so nothing was wrong before; but where
# there are restart markers, whole intervals may be missing.
_AFTER_LAST_SCAN: Final = re.compile("extraneous bytes before marker 0xd9")

# Its error when it gets no memory.
_NO_MEMORY: Final = "Insufficient memory"

# Most bytes a pixel that a progressive JPEG takes until its last scan: four components of 16 bits.
_COEFFICIENT_BYTES: Final = 8

# Entropy-coded data to append, which changes no scan that is complete. It is longer than a block, of which a reduced
# image shows only a part. The first bits of the two differ.
_PADDINGS: Final = (b"\xaa" * 64, b"\x00" * 64)

# What makes stored pixels upright, by EXIF orientation.
_TURNS: Final[dict[int, Callable[[Pixels], Any]]] = {
    2: lambda pixels: cv2.flip(pixels, 1),
    3: lambda pixels: cv2.rotate(pixels, cv2.ROTATE_180),
    4: lambda pixels: cv2.flip(pixels, 0),
    5: cv2.transpose,
    6: lambda pixels: cv2.rotate(pixels, cv2.ROTATE_90_CLOCKWISE),
    7: lambda pixels: cv2.rotate(cv2.transpose(pixels), cv2.ROTATE_180),
    8: lambda pixels: cv2.rotate(pixels, cv2.ROTATE_90_COUNTERCLOCKWISE),
}


def configure_opencv() -> None:
    """Configure OpenCV for a worker, for the whole process: one thread a call, and no log on stderr.

    One job a core keeps all cores busy; OpenCV's own pool would only compete with them. libjpeg and libpng still write
    a line to stderr for a damaged image, which nothing can turn off: see worker/native_output.py.
    """
    cv2.setNumThreads(1)
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


def decode(data: bytes, *, full_size: bool = False, max_pixels: int = DEFAULT_MAX_PIXELS) -> Pixels:
    """Decode a JPEG, PNG or BMP to uint8 (H, W, 3) BGR, C-contiguous, upright by its EXIF orientation.

    Large JPEGs are decoded at 1/2 or 1/4 of their size unless full_size is set. Grey, palette, CMYK and 16-bit images
    become 8-bit BGR; alpha is dropped; of an animation, or several pictures in one file, the first is decoded.

    Raises ImageUnreadable for any other format, for a file that is cut off or damaged, and for more than max_pixels
    pixels; MemoryError if there is not enough memory, which is no flaw of the image.
    """
    header = read_header(data, max_pixels)
    # What bounds the work on odd files of a common size does not fall with the limit.
    work_pixels = max(max_pixels, DEFAULT_MAX_PIXELS)
    if header.kind == "jpeg":
        return _decode_jpeg(data, work_pixels, 1 if full_size else reduction(header))
    if header.kind == "png":
        return _decode_with_opencv(png.stripped(data, work_pixels), cv2.IMREAD_COLOR)
    return bmp.decode(data)


def reduction(header: Header) -> int:
    """Return the factor by which `decode` reduces an image unless it is asked for its full size: 1, 2 or 4."""
    longest = max(header.width, header.height)
    if header.kind != "jpeg" or longest < _HALF_FROM:
        return 1
    return 2 if longest < _QUARTER_FROM else 4


def _decode_with_opencv(data: bytes, mode: int) -> Pixels:
    try:
        pixels = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), mode)
    except cv2.error as error:
        if error.code == cv2.Error.StsNoMem:
            raise MemoryError("OpenCV has no memory for it") from error
        raise ImageUnreadable("OpenCV refuses it") from error
    if pixels is None:
        raise ImageUnreadable("OpenCV cannot decode it")
    return np.ascontiguousarray(pixels, dtype=np.uint8)


def _decode_jpeg(data: bytes, work_pixels: int, scale: int) -> Pixels:
    picture = jpeg.parse(data, work_pixels)
    mode = _MODES[scale] | cv2.IMREAD_IGNORE_ORIENTATION
    encoded = picture.encoded()
    try:
        colours = simplejpeg.decode_jpeg_header(encoded)[2]
    except ValueError:  # libjpeg-turbo's own interface knows only common subsamplings and versions of JFIF
        pixels = _decode_unusual(picture, mode)
    else:
        is_cmyk = colours in {"CMYK", "YCCK"}
        # The other side follows from this one.
        side = "min_width" if picture.width >= picture.height else "min_height"
        at_least = {side: -(-picture.longest_side // scale)}
        try:
            raw = simplejpeg.decode_jpeg(encoded, "CMYK" if is_cmyk else "BGR", **at_least)
            pixels = np.asarray(raw, dtype=np.uint8)
            pixels = _cmyk_to_bgr(pixels) if is_cmyk else pixels
        except ValueError as error:
            if _NO_MEMORY in str(error):
                raise MemoryError(str(error)) from None
            if _CUT_OFF.search(str(error)):
                raise ImageUnreadable("JPEG is cut off in a scan") from None
            # Browsers show what libjpeg gives any other warning about. After a warning this interface gives no pixels.
            pixels = _decode_with_opencv(encoded, mode)
            if picture.restarts or not _AFTER_LAST_SCAN.search(str(error)):
                _require_complete_scans(picture, pixels, mode, _PADDINGS[:1])
    turn = _TURNS.get(picture.orientation)
    return np.ascontiguousarray(turn(pixels)) if turn else pixels


def _cmyk_to_bgr(cmyk: Pixels) -> Pixels:
    """Convert CMYK to BGR as OpenCV does. Every JPEG of four components stores its ink inverted, with an Adobe marker
    or without: Photoshop writes it so, and all browsers read it so.
    """
    bgr = np.empty((*cmyk.shape[:2], 3), np.uint8)
    for top in range(0, len(cmyk), _STRIP):  # in strips: 16-bit numbers of the whole would take twice its memory
        strip = cmyk[top : top + _STRIP]
        black = strip[..., 3:].astype(np.uint16)
        covered = (255 - strip[..., 2::-1].astype(np.uint16)) * black >> 8
        bgr[top : top + _STRIP] = black - covered
    return bgr


def _decode_unusual(picture: jpeg.Jpeg, mode: int) -> Pixels:
    """Decode with OpenCV what hardly any encoder writes. OpenCV reports neither missing data nor a lack of memory, so
    the memory is tried first.
    """
    np.empty(picture.width * picture.height * _COEFFICIENT_BYTES, np.uint8)
    pixels = _decode_with_opencv(picture.encoded(), mode)
    _require_complete_scans(picture, pixels, mode, _PADDINGS)
    return pixels


def _require_complete_scans(picture: jpeg.Jpeg, pixels: Pixels, mode: int, paddings: Iterable[bytes]) -> None:
    """Raise ImageUnreadable if a scan lacks data: then data that is appended to it changes the pixels."""
    for padding in paddings:
        if cv2.norm(pixels, _decode_with_opencv(picture.encoded(padding), mode), cv2.NORM_INF) != 0:
            raise ImageUnreadable("JPEG is cut off in a scan")
