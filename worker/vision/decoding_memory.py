"""An upper bound of the memory that decode.py takes for an image, from the image's header alone.

Measured by bench/memory.py. An image that is damaged, or of a kind that is refused, counts as nothing: no pixel of it
is decoded.
"""

from typing import Final

from shared.errors import ImageUnreadable
from shared.imagefile.header import DEFAULT_MAX_PIXELS, read_header
from shared.imagefile.jpeg import FRAMES, PROGRESSIVE_FRAME, START_OF_SCAN, frame_of, segments
from worker.vision import bmp
from worker.vision.decode import reduction

JPEG_BYTES: Final = 6
"""Bytes a pixel of a JPEG: three as it is decoded, and three more while it is turned or reduced."""

ODD_JPEG_BYTES: Final = 9
"""Bytes a pixel where the subsampling makes a second decoding necessary: two pictures, and where they differ."""

CMYK_JPEG_BYTES: Final = 8
"""Bytes a pixel of four components: four as it is decoded, three as BGR, and those of a strip."""

COEFFICIENT_BYTES: Final = 2
"""Bytes a coefficient, of which each sample has one. A progressive JPEG holds all of them until its last scan."""

PNG_BYTES: Final = 7
"""Bytes a pixel of a PNG: libpng's rows, with alpha, and BGR."""

BMP_BYTES: Final = 5
"""Bytes a pixel of a BMP: an index or a value, BGR, and the upright copy."""

_USUAL: Final = frozenset({0x11, 0x21, 0x12, 0x22, 0x41, 0x14})
"""Sampling factors of a first component that simplejpeg decodes, where the others have 1 by 1."""


def decoding_bytes(data: bytes, *, full_size: bool, max_pixels: int = DEFAULT_MAX_PIXELS) -> int:
    """Return the most bytes that `decode` takes for the image. full_size, max_pixels: as for `decode`."""
    try:
        header = read_header(data, max_pixels)
        if header.kind == "jpeg":
            # The segments that make the picture are copied out of it.
            return 2 * len(data) + _jpeg_bytes(data, 1 if full_size else reduction(header))
        if header.kind == "bmp":
            bmp.known_header(data)
    except ImageUnreadable:
        return 0
    return header.width * header.height * (PNG_BYTES if header.kind == "png" else BMP_BYTES)


def _jpeg_bytes(data: bytes, scale: int) -> int:
    frame = scan = None
    for segment in segments(data):
        if segment.code in FRAMES:
            frame = frame or frame_of(segment)
        elif segment.code == START_OF_SCAN:
            scan = segment
            break
    factors = frame.components[1::3] if frame else b""
    if not (frame and scan and scan.content and factors):
        return 0
    pixels = frame.width * frame.height
    is_held = len(factors) != scan.content[0] or frame.code == PROGRESSIVE_FRAME
    coefficients = COEFFICIENT_BYTES * _samples(pixels, factors) if is_held else 0
    return coefficients + _pixel_bytes(factors) * pixels // scale**2


def _samples(pixels: int, factors: bytes) -> int:
    """Return the samples of all components. factors: horizontal and vertical sampling of each, four bits each."""
    across, down = max(factor >> 4 for factor in factors), max(factor & 15 for factor in factors)
    return sum(pixels * (factor >> 4) * (factor & 15) // max(1, across * down) for factor in factors)


def _pixel_bytes(factors: bytes) -> int:
    if len(factors) == 4:
        return CMYK_JPEG_BYTES
    is_usual = factors[0] in _USUAL and all(factor == 0x11 for factor in factors[1:])
    return JPEG_BYTES if is_usual or len(factors) == 1 else ODD_JPEG_BYTES
