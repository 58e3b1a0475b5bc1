"""The header of a PNG (ISO/IEC 15948, 11.2.2)."""

import struct
from dataclasses import dataclass
from typing import Final

from shared.errors import ImageUnreadable

SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"

_IHDR_BYTES: Final = 13


@dataclass(frozen=True)
class PngHeader:
    """The fields of IHDR. colour: 0 grey, 2 RGB, 3 palette, 4 grey with alpha, 6 RGB with alpha."""

    width: int
    height: int
    depth: int
    colour: int
    interlaced: int


def read_header(data: bytes) -> PngHeader:
    """Return the header of a PNG. Raises ImageUnreadable if it is cut off, or if the first chunk is not IHDR."""
    try:
        length, kind, width, height, depth, colour, _, _, interlaced = struct.unpack_from(">I4sIIBBBBB", data, 8)
    except struct.error:
        raise ImageUnreadable("header cut off") from None
    if kind != b"IHDR" or length != _IHDR_BYTES:
        raise ImageUnreadable("png without IHDR")
    return PngHeader(width, height, depth, colour, interlaced)
