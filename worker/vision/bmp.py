"""BMP to pixels: Windows headers of 40 to 124 bytes and those of OS/2, read as browsers read them.

No library at hand does that. Of the 295 kinds in `tests/bitmaps.py` OpenCV 4.14 makes a wrong picture of 16 and refuses
38: it overlooks bit fields, and misplaces run lengths of padded rows. Pillow 13 makes a wrong picture of 2, of run
lengths at odd positions, and refuses 53, empty rows of run lengths among them. Neither documents which.
"""

import struct
from typing import Final

import numpy as np
import numpy.typing as npt

from shared.errors import ImageUnreadable
from shared.imagefile.bmp import (
    BIT_FIELDS,
    CORE_HEADER_BYTES,
    FILE_HEADER_BYTES,
    RLE4,
    RLE8,
    UNCOMPRESSED,
    BmpHeader,
    read_header,
)
from worker.vision.geometry import Pixels

_OS2_BYTES: Final = 64
_HEADER_BYTES: Final = frozenset({CORE_HEADER_BYTES, 40, 52, 56, _OS2_BYTES, 108, 124})
_MASKS_AT: Final = FILE_HEADER_BYTES + 40  # in the header where it is longer, else behind it

_DEPTHS: Final = {UNCOMPRESSED: (1, 4, 8, 16, 24, 32), RLE8: (8,), RLE4: (4,), BIT_FIELDS: (16, 32)}
_COLOURS: Final = 256

# Red, green and blue, where the file names no masks.
_COMMON_MASKS: Final = {16: (0x7C00, 0x03E0, 0x001F), 32: (0xFF0000, 0x00FF00, 0x0000FF)}

_BAND: Final = 1 << 16  # indices that stay in the processor's cache

_END_OF_LINE, _END_OF_BITMAP, _DELTA = range(3)
_HEX: Final = bytes.maketrans(b"0123456789abcdef", bytes(range(16)))

Bytes = npt.NDArray[np.uint8]


def decode(data: bytes) -> Pixels:
    """Return uint8 (H, W, 3) BGR, C-contiguous; alpha is dropped.

    Raises ImageUnreadable on an unknown kind, on a file that is cut off, and on run lengths that leave the picture. The
    caller bounds the number of pixels.
    """
    header = known_header(data)
    try:
        if header.depth <= 8:
            pixels = _indexed(data, header)
        elif header.depth == 24:
            pixels = _rows(data, header)[:, : header.width * 3].reshape(header.height, header.width, 3)
        else:
            pixels = _masked(data, header)
    except (struct.error, IndexError):
        raise ImageUnreadable("BMP is cut off") from None
    return np.require(pixels, np.uint8, ["C", "W"])


def known_header(data: bytes) -> BmpHeader:
    """Return the header of a BMP that `decode` knows. Raises ImageUnreadable for any other."""
    header = read_header(data)
    if header.size not in _HEADER_BYTES:
        raise ImageUnreadable("BMP with an unknown header")
    is_os2 = header.size == _OS2_BYTES
    if header.depth not in _DEPTHS.get(header.compression, ()) or (is_os2 and header.compression == BIT_FIELDS):
        raise ImageUnreadable("BMP of an unknown depth or packing")
    if header.width < 1 or not header.height or header.pixels_at < FILE_HEADER_BYTES + header.size:
        raise ImageUnreadable("BMP without pixels")
    return header


def _rows(data: bytes, header: BmpHeader) -> Bytes:
    """Return the rows from top to bottom, of whole bytes each. The padding of the last row may be missing."""
    row = (header.width * header.depth + 31) // 32 * 4
    used = (header.width * header.depth + 7) // 8
    stored = data[header.pixels_at : header.pixels_at + row * header.height]
    if len(stored) < row * (header.height - 1) + used:
        raise ImageUnreadable("BMP is cut off")
    return _upright(stored.ljust(row * header.height, b"\0"), header)


def _upright(stored: bytes | bytearray, header: BmpHeader) -> Bytes:
    rows = np.frombuffer(stored, np.uint8).reshape(header.height, -1)
    return rows if header.top_down else rows[::-1]


def _indexed(data: bytes, header: BmpHeader) -> Bytes:
    """Return the pixels of an image with a palette. All pixels of a byte are looked up at once."""
    palette = _palette(data, header)
    if header.compression == UNCOMPRESSED:
        rows, depth = _rows(data, header), header.depth
    else:
        rows, depth = _unrolled(data, header), 8
    index = np.arange(256, dtype=np.uint8)[:, None]
    shifts = np.arange(8 - depth, -1, -depth, dtype=np.uint8)
    pixels = palette[(index >> shifts) & ((1 << depth) - 1)].reshape(256, -1)
    used = rows[:, : (header.width * depth + 7) // 8]
    indexed = np.empty((*used.shape, pixels.shape[1]), np.uint8)
    # NumPy makes eight bytes of each index, so a few rows at a time.
    band = max(1, _BAND // used.shape[1])
    for top in range(0, header.height, band):
        np.take(pixels, used[top : top + band], axis=0, out=indexed[top : top + band], mode="clip")
    return indexed.reshape(header.height, -1, 3)[:, : header.width]


def _palette(data: bytes, header: BmpHeader) -> Bytes:
    """Return (256, 3) BGR. Missing colours are black."""
    if header.colours > _COLOURS:
        raise ImageUnreadable("BMP with more colours than it can use")
    entry = 3 if header.size == CORE_HEADER_BYTES else 4
    at = FILE_HEADER_BYTES + header.size
    count = min(header.colours or _COLOURS, 1 << header.depth, (header.pixels_at - at) // entry)
    stored = data[at : at + count * entry]
    if len(stored) < count * entry:
        raise ImageUnreadable("BMP is cut off")
    palette = np.zeros((_COLOURS, 3), np.uint8)
    palette[:count] = np.frombuffer(stored, np.uint8).reshape(count, entry)[:, :3]
    return palette


def _masked(data: bytes, header: BmpHeader) -> Bytes:
    """Return the pixels of an image of 16 or 32 bits, where masks give the bits of each colour."""
    masks = _COMMON_MASKS[header.depth]
    if header.compression == BIT_FIELDS:
        masks = struct.unpack_from("<III", data, _MASKS_AT)
    whole = (1 << header.depth) - 1
    for mask in masks:
        low = mask & -mask
        if not mask or mask > whole or (mask + low) & mask:
            raise ImageUnreadable("BMP whose bit fields make no sense")
    used = header.width * header.depth // 8
    pixels = np.ascontiguousarray(_rows(data, header)[:, :used]).view(f"<u{header.depth // 8}")
    return np.stack([_field(pixels, mask) for mask in reversed(masks)], axis=2)


def _field(pixels: npt.NDArray[np.unsignedinteger], mask: int) -> Bytes:
    """Return one colour, scaled from its number of bits to 0 to 255."""
    low = mask & -mask
    most = mask // low
    values = (pixels & mask) // low
    if most == 0xFF:
        return values.astype(np.uint8)
    return ((values.astype(np.uint64) * 510 + most) // (2 * most)).astype(np.uint8)


def _unrolled(data: bytes, header: BmpHeader) -> Bytes:
    """Expand run lengths to rows of one index a pixel. Rows may be longer than the picture: some encoders pad them to
    four bytes. Pixels that are skipped have index 0.
    """
    four = header.compression == RLE4
    row = -(-header.width // 8) * 8 if four else -(-header.width // 4) * 4
    canvas = bytearray(row * header.height)
    runs = [(bytes((value >> 4, value & 15)) if four else bytes((value, value))) * 128 for value in range(256)]
    at, x, y = header.pixels_at, 0, 0
    while True:
        if at + 2 > len(data):
            if y < header.height - 1 or (y == header.height - 1 and x < header.width):
                raise ImageUnreadable("BMP is cut off")
            break
        count, value = data[at], data[at + 1]
        at += 2
        if count:
            run = runs[value][:count]
        elif value == _END_OF_LINE:
            x, y = 0, y + 1
            continue
        elif value == _END_OF_BITMAP:
            break
        elif value == _DELTA:
            x, y = x + data[at], y + data[at + 1]
            at += 2
            continue
        else:  # literal pixels, in whole pairs of bytes
            run = data[at : at + (value + 1) // 2].hex().encode().translate(_HEX) if four else data[at : at + value]
            at += (value + 3) // 4 * 2 if four else (value + 1) // 2 * 2
            run = run[:value]
            if len(run) < value:
                raise ImageUnreadable("BMP is cut off")
        if y >= header.height or x + len(run) > row:
            raise ImageUnreadable("BMP with run lengths that leave the picture")
        canvas[y * row + x : y * row + x + len(run)] = run
        x += len(run)
    return _upright(canvas, header)
