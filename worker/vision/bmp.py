"""BMP to pixels: Windows headers of 40 to 124 bytes and those of OS/2, as browsers read them.

No library at hand does that. Of the 295 kinds in `tests/bitmaps.py` OpenCV 4.14 makes a wrong picture of 16 and refuses
38: it overlooks bit fields, and run lengths of padded rows go elsewhere. Pillow 13 makes a wrong picture of 2, of run
lengths at odd positions, and refuses 53, empty rows of run lengths among them. Neither says which.
"""

import struct
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from shared.errors import ImageUnreadable
from worker.vision.geometry import Image

START: Final = b"BM"

_FILE_HEADER: Final = 14
_CORE: Final = 12  # OS/2 1; all others begin as BITMAPINFOHEADER does
_OS2: Final = 64
_HEADERS: Final = frozenset({_CORE, 40, 52, 56, _OS2, 108, 124})
_MASKS_AT: Final = _FILE_HEADER + 40  # in the header where it is longer, else behind it

_PLAIN, _RLE8, _RLE4, _FIELDS = range(4)
_DEPTHS: Final = {_PLAIN: (1, 4, 8, 16, 24, 32), _RLE8: (8,), _RLE4: (4,), _FIELDS: (16, 32)}
_COLOURS: Final = 256

# Red, green, blue, where nothing else is said.
_COMMON_MASKS: Final = {16: (0x7C00, 0x03E0, 0x001F), 32: (0xFF0000, 0x00FF00, 0x0000FF)}

_BAND: Final = 1 << 16  # indices that stay in the processor's cache

_END_OF_LINE, _END_OF_BITMAP, _DELTA = range(3)
_HEX: Final = bytes.maketrans(b"0123456789abcdef", bytes(range(16)))

Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class _Header:
    """size: of the header in bytes. start: where the pixels begin. colours: of the palette, 0 for all there can be."""

    size: int
    start: int
    width: int
    height: int
    top_down: bool
    depth: int
    packing: int
    colours: int


def decode(data: bytes) -> Image:
    """uint8 (H, W, 3) BGR, C-contiguous; alpha is dropped.

    Raises ImageUnreadable on a kind that is not known, on what is cut off, and on run lengths that leave the picture.
    The caller bounds the number of pixels beforehand.
    """
    try:
        header = _header(data)
        if header.depth <= 8:
            image = _indexed(data, header)
        elif header.depth == 24:
            image = _rows(data, header)[:, : header.width * 3].reshape(header.height, header.width, 3)
        else:
            image = _masked(data, header)
    except (struct.error, IndexError):
        raise ImageUnreadable("BMP is cut off") from None
    return np.require(image, np.uint8, ["C", "W"])


def sides(data: bytes) -> tuple[int, int]:
    """Width and height in pixels, by its header alone. Raises ImageUnreadable, or struct.error where it is cut off."""
    header = _header(data)
    return header.width, header.height


def _header(data: bytes) -> _Header:
    start, size = struct.unpack_from("<II", data, 10)
    if size not in _HEADERS:
        raise ImageUnreadable("BMP with an unknown header")
    packing = colours = 0
    if size == _CORE:
        width, height, _, depth = struct.unpack_from("<HHHH", data, 18)
    else:
        width, height, _, depth, packing, colours = struct.unpack_from("<iiHHI12xI", data, 18)
    if depth not in _DEPTHS.get(packing, ()) or (size == _OS2 and packing == _FIELDS):
        raise ImageUnreadable("BMP of an unknown depth or packing")
    if width < 1 or not height or start < _FILE_HEADER + size:
        raise ImageUnreadable("BMP without pixels")
    return _Header(size, start, width, abs(height), height < 0, depth, packing, colours)


def _rows(data: bytes, header: _Header) -> Bytes:
    """The rows from top to bottom, of whole bytes each; what fills the last one up to four bytes may be missing."""
    row = (header.width * header.depth + 31) // 32 * 4
    used = (header.width * header.depth + 7) // 8
    stored = data[header.start : header.start + row * header.height]
    if len(stored) < row * (header.height - 1) + used:
        raise ImageUnreadable("BMP is cut off")
    return _upright(stored.ljust(row * header.height, b"\0"), header)


def _upright(stored: bytes | bytearray, header: _Header) -> Bytes:
    rows = np.frombuffer(stored, np.uint8).reshape(header.height, -1)
    return rows if header.top_down else rows[::-1]


def _indexed(data: bytes, header: _Header) -> Bytes:
    """By its palette: what the pixels of each possible byte are, at once."""
    palette = _palette(data, header)
    if header.packing == _PLAIN:
        rows, depth = _rows(data, header), header.depth
    else:
        rows, depth = _unrolled(data, header), 8
    index = np.arange(256, dtype=np.uint8)[:, None]
    shifts = np.arange(8 - depth, -1, -depth, dtype=np.uint8)
    pixels = palette[(index >> shifts) & ((1 << depth) - 1)].reshape(256, -1)
    used = rows[:, : (header.width * depth + 7) // 8]
    image = np.empty((*used.shape, pixels.shape[1]), np.uint8)
    # NumPy makes eight bytes of each index, so of a few rows at a time.
    band = max(1, _BAND // used.shape[1])
    for top in range(0, header.height, band):
        np.take(pixels, used[top : top + band], axis=0, out=image[top : top + band], mode="clip")
    return image.reshape(header.height, -1, 3)[:, : header.width]


def _palette(data: bytes, header: _Header) -> Bytes:
    """(256, 3) BGR. Colours that are not there are black."""
    if header.colours > _COLOURS:
        raise ImageUnreadable("BMP with more colours than it can use")
    entry = 3 if header.size == _CORE else 4
    at = _FILE_HEADER + header.size
    count = min(header.colours or _COLOURS, 1 << header.depth, (header.start - at) // entry)
    stored = data[at : at + count * entry]
    if len(stored) < count * entry:
        raise ImageUnreadable("BMP is cut off")
    palette = np.zeros((_COLOURS, 3), np.uint8)
    palette[:count] = np.frombuffer(stored, np.uint8).reshape(count, entry)[:, :3]
    return palette


def _masked(data: bytes, header: _Header) -> Bytes:
    """Pixels of 16 or 32 bits, of which masks say where each colour is."""
    masks = _COMMON_MASKS[header.depth]
    if header.packing == _FIELDS:
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
    """One colour from 0 to 255, of however many bits it has."""
    low = mask & -mask
    most = mask // low
    values = (pixels & mask) // low
    if most == 0xFF:
        return values.astype(np.uint8)
    return ((values.astype(np.uint64) * 510 + most) // (2 * most)).astype(np.uint8)


def _unrolled(data: bytes, header: _Header) -> Bytes:
    """Run lengths to an index a pixel, in rows that may be longer than the picture: some encoders fill them up to four
    bytes, as rows without run lengths are. What is never told has index 0.
    """
    four = header.packing == _RLE4
    row = -(-header.width // 8) * 8 if four else -(-header.width // 4) * 4
    canvas = bytearray(row * header.height)
    runs = [(bytes((value >> 4, value & 15)) if four else bytes((value, value))) * 128 for value in range(256)]
    at, x, y = header.start, 0, 0
    while True:
        if at + 2 > len(data):
            if y < header.height - 1 or (y == header.height - 1 and x < header.width):
                raise ImageUnreadable("BMP is cut off")
            break
        count, value = data[at], data[at + 1]
        at += 2
        if count:
            told = runs[value][:count]
        elif value == _END_OF_LINE:
            x, y = 0, y + 1
            continue
        elif value == _END_OF_BITMAP:
            break
        elif value == _DELTA:
            x, y = x + data[at], y + data[at + 1]
            at += 2
            continue
        else:  # as many pixels as they are, in whole pairs of bytes
            told = data[at : at + (value + 1) // 2].hex().encode().translate(_HEX) if four else data[at : at + value]
            at += (value + 3) // 4 * 2 if four else (value + 1) // 2 * 2
            told = told[:value]
            if len(told) < value:
                raise ImageUnreadable("BMP is cut off")
        if y >= header.height or x + len(told) > row:
            raise ImageUnreadable("BMP with run lengths that leave the picture")
        canvas[y * row + x : y * row + x + len(told)] = told
        x += len(told)
    return _upright(canvas, header)
