"""Pixels to a PNG without any library. Lossless, so that nothing has to be chosen for the caller.

Source: ISO/IEC 15948:2004 (PNG), 5 and 11.2.
"""

import struct
import zlib
from typing import Any, Final

_LEVEL: Final = 1
"""The level of zlib. A higher one takes several times as long and saves a few percent of the bytes of a photo."""

_GREY: Final = 0
_RGB: Final = 2
"""Colour types."""

_NONE: Final = b"\0"
_UP: Final = b"\2"
"""Filters of a line: none, and the difference to the line above."""


def png(pixels: Any) -> bytes:
    """Return a PNG. pixels: a NumPy array, uint8, height x width, or height x width x 3 in RGB; both >= 1."""
    height, width = pixels.shape[:2]
    colour_type = _RGB if len(pixels.shape) == 3 else _GREY
    # uint8 wraps around, as the filter wants it.
    differences = pixels[1:] - pixels[:-1]
    lines = [_NONE, pixels[0].tobytes(), *(part for line in differences for part in (_UP, line.tobytes()))]
    header = struct.pack(">IIBBBBB", width, height, 8, colour_type, 0, 0, 0)
    chunks = (b"IHDR", header), (b"IDAT", zlib.compress(b"".join(lines), _LEVEL)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, data) for name, data in chunks)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
