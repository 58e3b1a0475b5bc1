"""Where the segments of a JPEG are (ITU-T T.81, annex B), for gateway and worker alike: both see the same frame.

Markers are found as libjpeg finds them, and so as browsers do: phones and old cameras leave bytes between segments,
lose an FF or are off by a byte or two in a length. No pixel is decoded.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from shared.errors import ImageUnreadable

START: Final = b"\xff\xd8\xff"

MAX_SEGMENTS: Final = 1000
"""Photos have 10 to 100. Half a million empty ones fit into 2 MiB."""

MAX_SKIPPED_BYTES: Final = 1 << 18
"""Between segments, in all: four segments of the longest kind that lost their markers."""

FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # those three are DHT, JPG and DAC
COMMON_FRAMES: Final = frozenset({0xC0, 0xC1, 0xC2})
"""Baseline, extended, progressive. The others are lossless, hierarchical and arithmetic, and nobody writes them."""

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


@dataclass(frozen=True)
class Segment:
    """One segment. code: of its marker. start, end: where it lies, marker and length included. content: what follows
    the length. until: where the next marker is, or the end of all data; entropy-coded data lies between end and until.
    """

    code: int
    start: int
    end: int
    content: bytes
    until: int


def segments(data: bytes) -> Iterator[Segment]:
    """The segments in their order, up to and with the end of image, or to where the data ends.

    Raises ImageUnreadable on a marker that libjpeg does not know, and on more segments or bytes between them than
    MAX_SEGMENTS and MAX_SKIPPED_BYTES.
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
        # A length counts its own two bytes, which are there even where it says less.
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
