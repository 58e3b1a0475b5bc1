"""PNG (ISO/IEC 15948) without what can hurt.

Text and colour profiles are compressed, and libpng inflates them: 2 MiB of zTXt chunks cost 2.8 s. It also inflates
image data to its end, however little of it makes the image: 1 MB cost 1.1 s. So only what makes the picture reaches it.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from shared.errors import ImageUnreadable

START: Final = b"\x89PNG\r\n\x1a\n"

MAX_CHUNKS: Final = 10_000
"""libpng writes 256 for 2 MiB; rows of a scanner that are a chunk each are a few thousand."""

MAX_RAW_BYTES: Final = 4 * 50_000_000
"""Of image data once inflated."""

_KEPT: Final = (b"PLTE", b"tRNS", b"eXIf")  # eXIf has the orientation

# libpng takes the first and warns of every other one, on stderr: 9,994 lines for 160 kB.
_ONCE: Final = (b"tRNS", b"eXIf")

_CHANNELS: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_STORED_BYTES: Final = 16 << 20
_STEP_BYTES: Final = 1 << 17  # stays in the processor's cache

# Interlaced images (8.2) are seven images: x and y of the first pixel, steps between pixels.
_ADAM7: Final = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


@dataclass(frozen=True)
class _Header:
    """IHDR. colour: 0 grey, 2 RGB, 3 palette, 4 grey with alpha, 6 RGB with alpha."""

    width: int
    height: int
    depth: int
    colour: int
    interlaced: int

    def raw_bytes(self) -> int:
        """Of the image data once inflated: rows of whole bytes, each after a byte that names its filter."""
        bits = self.depth * _CHANNELS[self.colour]
        passes = _ADAM7 if self.interlaced else ((0, 0, 1, 1),)
        total = 0
        for x, y, across, down in passes:
            columns = max(0, -(-(self.width - x) // across))
            rows = max(0, -(-(self.height - y) // down))
            total += rows * (1 + (columns * bits + 7) // 8) if columns else 0
        return total


def plain(data: bytes) -> bytes:
    """The same picture without ancillary chunks, animation, and what follows its end.

    Raises ImageUnreadable when it is cut off, or has less or more image data than its header says.
    """
    header: _Header | None = None
    kept: list[bytes] = [START]
    packed: list[bytes] = []
    kinds: set[bytes] = set()
    for kind, content, whole in _chunks(data):
        if header is None:
            header = _header(kind, content)
            kept.append(whole)
        elif kind == b"IDAT":
            packed.append(content)
        elif kind in _KEPT:
            if packed or (kind in _ONCE and kind in kinds):
                continue  # out of place or once more, where libpng would warn and drop it
            kinds.add(kind)
            kept.append(whole)
        elif not kind[0] & 0x20 and kind != b"IEND":
            raise ImageUnreadable("PNG with a second header or an unknown critical chunk")
    if header is None:
        raise ImageUnreadable("PNG without a header")
    kept.append(_chunk(b"IDAT", _image_data(b"".join(packed), header.raw_bytes())))
    kept.append(_chunk(b"IEND", b""))
    return b"".join(kept)


def _image_data(packed: bytes, size: int) -> bytes:
    """Image data that is exactly as much as `size`, the bytes it inflates to.

    Inflating takes most of the time that decoding takes. So what has been inflated here is not packed again but stored,
    unless it is so much that memory matters more: no photo is, in 2 MiB.
    """
    if size > MAX_RAW_BYTES:
        raise ImageUnreadable("PNG with more image data than 50 million pixels of four bytes")
    if size > _STORED_BYTES:
        for _ in _inflated(packed, size):
            pass
        return packed
    return zlib.compress(b"".join(_inflated(packed, size)), 0)


def _inflated(packed: bytes, size: int) -> Iterator[bytes]:
    """Pieces of the inflated stream. Raises ImageUnreadable when they are not `size` bytes together."""
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


def _header(kind: bytes, content: bytes) -> _Header:
    if kind != b"IHDR" or len(content) != 13:
        raise ImageUnreadable("PNG without a header")
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", content)
    if colour not in _CHANNELS or depth not in (1, 2, 4, 8, 16) or interlaced > 1:
        raise ImageUnreadable("PNG of an unknown kind")
    return _Header(width, height, depth, colour, interlaced)


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Kind, content and whole of each chunk, up to the last one."""
    at = len(START)
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
