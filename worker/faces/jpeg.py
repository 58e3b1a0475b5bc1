"""What a JPEG is, told by its markers (ITU-T T.81, annex B). No pixel is decoded.

What becomes of a file that is cut off or hostile is otherwise up to the OpenCV release, and libjpeg writes to stderr
about it, past every log setting. So most of them never reach it.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from shared.errors import ImageUnreadable

START: Final = b"\xff\xd8\xff"

MAX_SEGMENTS: Final = 1000
"""Photos have 10 to 100. Half a million empty ones fit into 2 MiB."""

MAX_SCANS: Final = 100
"""Progressive encoders write 3 to 20. Each is a pass over the whole image, however few its bytes."""

MAX_SCANNED_PIXELS: Final = 12 * 50_000_000
"""Scans times pixels: the 10 scans that every common encoder writes, at the largest size, and a little more."""

_COEFFICIENTS: Final = 64

# A marker is FF and a code. In entropy-coded data FF 00 is a byte FF and FF D0..D7 are restart marks; FF FF is filling.
# The pattern starts with one plain byte so that `re` looks for it with memchr: 0.25 instead of 5 ms for 600 kB.
_MARKER: Final = re.compile(rb"\xff([^\x00\xd0-\xd7\xff])")
_START_OF_SCAN: Final = 0xDA
_END_OF_IMAGE: Final = 0xD9
_TWO_BYTES: Final = frozenset({0x01, 0xD8})  # TEM, SOI: neither has a length, and neither has business in an image
_BASELINE, _EXTENDED, _PROGRESSIVE = 0xC0, 0xC1, 0xC2
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # those three are DHT, JPG and DAC


@dataclass
class Jpeg:
    """What one JPEG says of itself. width, height: pixels as stored, before its orientation. end: length in bytes up
    to and with its end-of-image marker. scans: (start, end) of each scan's entropy-coded data.

    known: for each component the last bit position that was sent of each of its 64 coefficients, None before any.
    """

    progressive: bool
    width: int
    height: int
    known: dict[int, list[int | None]]
    scans: list[tuple[int, int]] = field(default_factory=list)
    end: int = 0

    @property
    def components(self) -> int:
        return len(self.known)


def walk(data: bytes) -> Jpeg:
    """Follow the markers from start to end of image; what comes after is ignored.

    Raises ImageUnreadable on what is cut off, lacks part of its scans, is of a rare kind (lossless, arithmetic,
    hierarchical), or asks for enormously many passes.
    """
    jpeg: Jpeg | None = None
    for code, at, body in _segments(data):
        if code in _FRAMES:
            if jpeg is not None:
                raise ImageUnreadable("JPEG with two frames")
            jpeg = _frame(code, body)
        elif code == _START_OF_SCAN:
            if jpeg is None:
                raise ImageUnreadable("JPEG scan before its frame")
            _scan(jpeg, body)
            following = _MARKER.search(data, at)
            jpeg.scans.append((at, following.start() if following else len(data)))
            if len(jpeg.scans) > min(MAX_SCANS, MAX_SCANNED_PIXELS // (jpeg.width * jpeg.height)):
                raise ImageUnreadable("JPEG with too many scans")
        elif code == _END_OF_IMAGE:
            if jpeg is None or not _complete(jpeg):
                raise ImageUnreadable("JPEG lacks scans")
            jpeg.end = at
            return jpeg
    raise ImageUnreadable("JPEG is cut off")


def longest_side(data: bytes) -> int:
    """In pixels, by its frame alone: no scan is looked at. Raises ImageUnreadable where there is no frame."""
    for code, _, body in _segments(data):
        if code in _FRAMES:
            frame = _frame(code, body)
            return max(frame.width, frame.height)
    raise ImageUnreadable("JPEG without a frame")


def _segments(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Marker code, position after the segment, and what the segment holds."""
    at = 2
    for _ in range(MAX_SEGMENTS):
        marker = _MARKER.search(data, at)
        if marker is None:
            return
        code, start = marker[1][0], marker.end()
        if code == _END_OF_IMAGE:
            yield code, start, b""
            return
        length = int.from_bytes(data[start : start + 2], "big")
        at = start + length
        if code in _TWO_BYTES or length < 2 or at > len(data):
            return
        # A scan's data follows its header without a length of its own; the next search runs over it.
        yield code, at, data[start + 2 : at]
    raise ImageUnreadable("JPEG with too many segments")


def _frame(code: int, body: bytes) -> Jpeg:
    if code not in (_BASELINE, _EXTENDED, _PROGRESSIVE):
        raise ImageUnreadable("JPEG of a kind that nobody writes")
    if len(body) < 6 or len(body) != 6 + 3 * body[5]:
        raise ImageUnreadable("JPEG frame is malformed")
    _, height, width, count = struct.unpack_from(">BHHB", body)
    if width < 1 or height < 1 or count < 1:
        raise ImageUnreadable("JPEG without pixels")
    known: dict[int, list[int | None]] = {identifier: [None] * _COEFFICIENTS for identifier in body[6::3]}
    return Jpeg(code == _PROGRESSIVE, width, height, known)


def _scan(jpeg: Jpeg, body: bytes) -> None:
    """Note what a scan sends."""
    count = body[0] if body else 0
    if len(body) != 4 + 2 * count:
        raise ImageUnreadable("JPEG scan is malformed")
    first, last, bits = body[-3:]
    if not jpeg.progressive:
        first, last, bits = 0, _COEFFICIENTS - 1, 0
    for identifier in body[1 : 1 + 2 * count : 2]:
        if identifier not in jpeg.known or last >= _COEFFICIENTS:
            raise ImageUnreadable("JPEG scan is malformed")
        for coefficient in range(first, last + 1):
            jpeg.known[identifier][coefficient] = bits & 0x0F


def _complete(jpeg: Jpeg) -> bool:
    """Whether every coefficient was sent to its last bit. A progressive file that is cut off lacks its last scans."""
    return all(bit == 0 for bits in jpeg.known.values() for bit in bits)
