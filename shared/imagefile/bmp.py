"""The headers of a BMP: BITMAPFILEHEADER, then that of OS/2 1 (12 bytes) or BITMAPINFOHEADER and its successors."""

import struct
from dataclasses import dataclass
from typing import Final

from shared.errors import ImageUnreadable

SIGNATURE: Final = b"BM"

FILE_HEADER_BYTES: Final = 14
CORE_HEADER_BYTES: Final = 12
"""Size of the header of OS/2 1; all others begin as BITMAPINFOHEADER does."""

UNCOMPRESSED, RLE8, RLE4, BIT_FIELDS = range(4)
"""Compressions. 4 and 5 hold a JPEG or a PNG."""


@dataclass(frozen=True)
class BmpHeader:
    """The fields of both headers.

    size: of the second header in bytes. pixels_at: offset of the pixels in the file. depth: bits a pixel. colours: in
    the palette, 0 for as many as the depth allows.
    """

    size: int
    pixels_at: int
    width: int
    height: int
    top_down: bool
    depth: int
    compression: int
    colours: int


def read_header(data: bytes) -> BmpHeader:
    """Return the headers of a BMP. Raises ImageUnreadable if they are cut off, or if it holds another format."""
    compression = colours = 0
    try:
        pixels_at, size = struct.unpack_from("<II", data, 10)
        if size == CORE_HEADER_BYTES:
            width, height, _, depth = struct.unpack_from("<HHHH", data, 18)
        else:
            width, height, _, depth, compression, colours = struct.unpack_from("<iiHHI12xI", data, 18)
    except struct.error:
        raise ImageUnreadable("header cut off") from None
    if compression > BIT_FIELDS:
        raise ImageUnreadable("bmp around another format")
    return BmpHeader(size, pixels_at, width, abs(height), height < 0, depth, compression, colours)
