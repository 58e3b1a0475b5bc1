"""The segments of a JPEG (ITU-T T.81, annex B).

Markers are found as libjpeg finds them, and so as browsers do: phones and old cameras leave bytes between segments,
lose an FF or are off by a byte or two in a length.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from shared.errors import ImageUnreadable

SIGNATURE: Final = b"\xff\xd8\xff"
"""The start of image, and the FF of the next marker."""

MAX_SEGMENTS: Final = 1000
"""Most segments that are read. Photos have 10 to 100; half a million empty ones fit into 2 MiB."""

MAX_SKIPPED_BYTES: Final = 1 << 18
"""Most bytes between segments, in all: four segments of the longest kind that lost their markers."""

FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # those three are DHT, JPG and DAC
COMMON_FRAMES: Final = frozenset({0xC0, 0xC1, 0xC2})
"""Baseline, extended and progressive frames. Lossless, hierarchical and arithmetic ones are hardly ever written."""

PROGRESSIVE_FRAME: Final = 0xC2

START_OF_SCAN: Final = 0xDA
END_OF_IMAGE: Final = 0xD9
HUFFMAN_TABLES, QUANTISATION_TABLES, RESTART_INTERVAL = 0xC4, 0xDB, 0xDD
APP0, APP1, APP14 = 0xE0, 0xE1, 0xEE

# And arithmetic conditions, number of lines, comments. libjpeg ends at any other marker, a second start (D8) too.
_KNOWN: Final = FRAMES | {0xC4, 0xCC, 0xD9, 0xDA, 0xDB, 0xDC, 0xDD, *range(0xE0, 0xF0), 0xFE}

# A marker is FF and a code. FF 00 is a byte FF of entropy-coded data; FF 01 and FF D0 to D7 stand alone and mean
# nothing between segments, nor does FF FF. The pattern starts with one plain byte so that `re` looks for it with
# memchr: 0.25 instead of 5 ms for 600 kB.
_MARKER: Final = re.compile(rb"\xff([^\x00\x01\xd0-\xd7\xff])")


class Segment(NamedTuple):
    """One segment.

    code: second byte of its marker. start, end: its position, marker and length included. content: the bytes after the
    length. until: position of the next marker, or the end of the data; entropy-coded data lies between end and until.
    """

    code: int
    start: int
    end: int
    content: bytes
    until: int


@dataclass(frozen=True)
class Frame:
    """A frame header (B.2.2). width, height: pixels as stored. components: as stored, three bytes each if well-formed:
    identifier, sampling factors (horizontal and vertical, four bits each), quantisation table.
    """

    code: int
    width: int
    height: int
    components: bytes


def frame_of(segment: Segment) -> Frame:
    """Return the frame header in a segment with one of the FRAMES codes. Raises ImageUnreadable if it is cut off."""
    try:
        height, width = struct.unpack_from(">xHH", segment.content)
    except struct.error:
        raise ImageUnreadable("header cut off") from None
    return Frame(segment.code, width, height, segment.content[6:])


def read_frame(data: bytes) -> Frame:
    """Return the frame header of a JPEG, which is in the first of its SOF0 to SOF15 segments.

    Raises ImageUnreadable if there is none before the first scan, or if it is not one of COMMON_FRAMES.
    """
    for segment in segments(data):
        if segment.code in COMMON_FRAMES:
            return frame_of(segment)
        if segment.code in (*FRAMES, START_OF_SCAN):
            break
    raise ImageUnreadable("jpeg without frame header")


def segments(data: bytes) -> Iterator[Segment]:
    """Yield the segments in order, up to and including the end of image, or to where the data ends.

    Raises ImageUnreadable on a marker that libjpeg does not know, and on more than MAX_SEGMENTS segments or
    MAX_SKIPPED_BYTES bytes between them.
    """
    skippable = MAX_SKIPPED_BYTES
    marker = _MARKER.search(data, 2, 2 + skippable)
    skippable -= (marker.start() if marker else len(data)) - 2
    for _ in range(MAX_SEGMENTS):
        if skippable < 0:
            raise ImageUnreadable("JPEG with too much between its segments")
        if marker is None:
            return
        code, start, at = marker[1][0], marker.start(), marker.end()
        if code not in _KNOWN:
            raise ImageUnreadable("JPEG with an unknown marker or a second start")
        if code == END_OF_IMAGE:
            yield Segment(code, start, at, b"", at)
            return
        # A length counts its own two bytes, which are there even where it is less.
        end = at + max(2, int.from_bytes(data[at : at + 2], "big"))
        if end > len(data):
            return
        in_scan = code == START_OF_SCAN
        marker = _MARKER.search(data, end) if in_scan else _MARKER.search(data, end, end + skippable + 2)
        until = marker.start() if marker else len(data)
        if not in_scan:
            skippable -= until - end
        yield Segment(code, start, end, data[at + 2 : end], until)
    raise ImageUnreadable("JPEG with too many segments")
