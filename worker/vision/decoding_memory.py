"""How many bytes an image takes while it is decoded, by its header alone: an upper bound of what decode.py needs.

Measured by bench/memory.py. What is damaged, or of a kind that is refused, weighs nothing: no pixel of it is decoded.
"""

import struct
from typing import Final

from shared.errors import ImageUnreadable
from shared.imagefile.jpeg import FRAMES, START_OF_SCAN, segments
from shared.imagefile.jpeg import START as JPEG_START
from worker.vision import bmp, png
from worker.vision.decode import reduction

JPEG_BYTES: Final = 6
"""A pixel of a JPEG: three as it is decoded, and three more while it is turned or made smaller."""

ODD_JPEG_BYTES: Final = 9
"""Where the colours have resolutions that are decoded more than once: two pictures, and where they differ."""

INKED_JPEG_BYTES: Final = 8
"""Of four components: four as it is decoded, three as BGR, and what a strip takes."""

COEFFICIENT_BYTES: Final = 2
"""A coefficient, of which there is one for each sample. All of them are held until the last scan."""

PNG_BYTES: Final = 7
"""A pixel of a PNG: libpng's rows, with alpha, and BGR."""

BMP_BYTES: Final = 5
"""A pixel of a BMP: an index or a value, BGR, and what is made upright."""

_PROGRESSIVE: Final = 0xC2

_USUAL: Final = frozenset({0x11, 0x21, 0x12, 0x22, 0x41, 0x14})
"""Sampling factors of a first component that simplejpeg decodes, where the others have 1 by 1."""


def weight(data: bytes, *, whole: bool) -> int:
    """Bytes that it takes at most while it is decoded. whole: at its size, as `decode` takes it."""
    try:
        if data.startswith(JPEG_START):
            # What makes the picture is copied out of it.
            return 2 * len(data) + _jpeg(data, 1 if whole else reduction(data))
        if data.startswith(png.START):
            width, height = struct.unpack_from(">II", data, 16)
            return int(width * height * PNG_BYTES)
        if data.startswith(bmp.START):
            width, height = bmp.sides(data)
            return width * height * BMP_BYTES
    except (ImageUnreadable, struct.error, IndexError):
        pass
    return 0


def _jpeg(data: bytes, scale: int) -> int:
    frame = scan = None
    for segment in segments(data):
        if segment.code in FRAMES:
            frame = frame or segment
        elif segment.code == START_OF_SCAN:
            scan = segment
            break
    if frame is None or scan is None:
        return 0
    height, width, components = struct.unpack_from(">HHB", frame.content, 1)
    factors = [frame.content[7 + 3 * number] for number in range(components)]
    pixels = int(width * height)
    held = components != scan.content[0] or frame.code == _PROGRESSIVE
    coefficients = COEFFICIENT_BYTES * _samples(pixels, factors) if held else 0
    return coefficients + _pixel_bytes(factors) * pixels // scale**2


def _samples(pixels: int, factors: list[int]) -> int:
    """Of all components. factors: each one's horizontal and vertical sampling factor, four bits each."""
    across, down = max(factor >> 4 for factor in factors), max(factor & 15 for factor in factors)
    return sum(pixels * (factor >> 4) * (factor & 15) // max(1, across * down) for factor in factors)


def _pixel_bytes(factors: list[int]) -> int:
    if len(factors) == 4:
        return INKED_JPEG_BYTES
    usual = factors[0] in _USUAL and all(factor == 0x11 for factor in factors[1:])
    return JPEG_BYTES if usual or len(factors) == 1 else ODD_JPEG_BYTES
