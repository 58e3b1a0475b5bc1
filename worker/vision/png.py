"""A PNG (ISO/IEC 15948) without the parts that can do harm.

Text and colour profiles are compressed, and libpng inflates them: 2 MiB of zTXt chunks cost 2.8 s. It also inflates
image data to its end, however little of it the image needs: 1 MB cost 1.1 s. So libpng is given only the chunks that
make the picture.
"""

import struct
import zlib
from collections.abc import Iterator
from typing import Final

from shared.errors import ImageUnreadable
from shared.imagefile.png import SIGNATURE, PngHeader, read_header

MAX_CHUNKS: Final = 10_000
"""Most chunks. libpng writes 256 for 2 MiB; scanners that write a chunk a row make a few thousand."""

RAW_BYTES_PER_PIXEL: Final = 4
"""Most bytes of inflated image data for each pixel of the largest image: that in 8-bit RGBA."""

_KEPT: Final = (b"PLTE", b"tRNS", b"eXIf")  # eXIf has the orientation

# libpng takes the first and warns of every further one on stderr: 9,994 lines for 160 kB.
_ONCE: Final = (b"tRNS", b"eXIf")

_CHANNELS: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_STORED_BYTES: Final = 16 << 20
_STEP_BYTES: Final = 1 << 17  # stays in the processor's cache

# Interlaced images (8.2) are seven images: x and y of the first pixel, steps between pixels.
_ADAM7: Final = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def stripped(data: bytes, work_pixels: int) -> bytes:
    """Return the same picture without ancillary chunks, animation, and what follows its end.

    work_pixels: pixels of the largest image, by which the image data is bounded. Raises ImageUnreadable if the PNG is
    cut off, has less or more image data than its header says, or more than RAW_BYTES_PER_PIXEL * work_pixels bytes.
    """
    header = read_header(data)
    if header.colour not in _CHANNELS or header.depth not in (1, 2, 4, 8, 16) or header.interlaced > 1:
        raise ImageUnreadable("PNG of an unknown kind")
    chunks = _chunks(data)
    kept: list[bytes] = [SIGNATURE, next(chunks)[2]]
    packed: list[bytes] = []
    kinds: set[bytes] = set()
    for kind, content, whole in chunks:
        if kind == b"IDAT":
            packed.append(content)
        elif kind in _KEPT:
            if packed or (kind in _ONCE and kind in kinds):
                continue  # out of place or repeated, where libpng would warn and drop it
            kinds.add(kind)
            kept.append(whole)
        elif not kind[0] & 0x20 and kind != b"IEND":
            raise ImageUnreadable("PNG with a second header or an unknown critical chunk")
    size = _raw_bytes(header)
    if size > RAW_BYTES_PER_PIXEL * work_pixels:
        raise ImageUnreadable("PNG with more image data than the largest image of four bytes a pixel")
    kept.append(_chunk(b"IDAT", _image_data(b"".join(packed), size)))
    kept.append(_chunk(b"IEND", b""))
    return b"".join(kept)


def _raw_bytes(header: PngHeader) -> int:
    """Return the size of the inflated image data: rows of whole bytes, each after a byte that names its filter."""
    bits = header.depth * _CHANNELS[header.colour]
    passes = _ADAM7 if header.interlaced else ((0, 0, 1, 1),)
    total = 0
    for x, y, across, down in passes:
        columns = max(0, -(-(header.width - x) // across))
        rows = max(0, -(-(header.height - y) // down))
        total += rows * (1 + (columns * bits + 7) // 8) if columns else 0
    return total


def _image_data(packed: bytes, size: int) -> bytes:
    """Return compressed image data that inflates to exactly `size` bytes.

    Inflating takes most of the time that decoding takes. So inflated data is stored, not compressed again, unless there
    is so much of it that memory matters more: no photo of 2 MiB has as much.
    """
    if size > _STORED_BYTES:
        for _ in _inflated(packed, size):
            pass
        return packed
    return zlib.compress(b"".join(_inflated(packed, size)), 0)


def _inflated(packed: bytes, size: int) -> Iterator[bytes]:
    """Yield pieces of the inflated stream. Raises ImageUnreadable if they are not `size` bytes in all."""
    stream = zlib.decompressobj()
    try:
        for at in range(0, len(packed), _STEP_BYTES):
            given = packed[at : at + _STEP_BYTES]
            while given:
                piece = stream.decompress(given, _STEP_BYTES)
                size -= len(piece)
                if size < 0:
                    raise ImageUnreadable("PNG has more image data than its header says")
                yield piece
                given = stream.unconsumed_tail
            if stream.eof:
                break
    except zlib.error:
        raise ImageUnreadable("PNG image data is damaged") from None
    if size or not stream.eof:
        raise ImageUnreadable("PNG has less image data than its header says")


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Yield kind, content and all bytes of each chunk, up to IEND."""
    at = len(SIGNATURE)
    for _ in range(MAX_CHUNKS):
        if at + 12 > len(data):
            raise ImageUnreadable("PNG is cut off")
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if end > len(data):
            raise ImageUnreadable("PNG is cut off")
        yield kind, data[at + 8 : end - 4], data[at:end]
        if kind == b"IEND":
            return
        at = end
    raise ImageUnreadable("PNG with too many chunks")


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(content, zlib.crc32(kind)))
