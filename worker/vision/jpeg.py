"""What a JPEG is, told by its segments (ITU-T T.81, annex B), and the same picture without all else. No pixel is
decoded.

What becomes of a file that is cut off, damaged or hostile is otherwise up to the release of a decoder. So only what
makes the picture reaches it, in good order.
"""

import re
import struct
from dataclasses import dataclass, field
from typing import Final

from shared.errors import ImageUnreadable
from shared.imagefile.jpeg import (
    APP0,
    APP1,
    APP14,
    COMMON_FRAMES,
    FRAMES,
    HUFFMAN_TABLES,
    QUANTISATION_TABLES,
    RESTART_INTERVAL,
    START_OF_SCAN,
    Segment,
    segments,
)

MAX_SCANS: Final = 100
"""Progressive encoders write 3 to 20. Each is a pass over the whole image, however few its bytes."""

MAX_SCANNED_PIXELS: Final = 12 * 50_000_000
"""Scans times pixels: the 10 scans that every common encoder writes, at the largest size, and a little more."""

END: Final = b"\xff\xd9"

# What stands alone in a scan: a restart mark, or TEM.
_MARK: Final = re.compile(rb"\xff++[\x01\xd0-\xd7]")
_BETWEEN_MARKS: Final = 8  # bytes: a million marks fit into 2 MiB
_EACH_MARK: Final = (b"", *(bytes((0xFF, mark)) for mark in range(0xD0, 0xD8)))

_COEFFICIENTS: Final = 64
_PROGRESSIVE: Final = 0xC2

# JFIF (APP0) and Adobe (APP14) decide what the components are: grey, YCbCr, RGB, CMYK, YCCK.
_KEPT: Final = FRAMES | {APP0, APP14, HUFFMAN_TABLES, QUANTISATION_TABLES, RESTART_INTERVAL}

_EXIF: Final = b"Exif\0\0"
_ORIENTATION: Final = 0x0112


@dataclass
class Jpeg:
    """What one JPEG says of itself. width, height: pixels as stored, before its orientation. orientation: 1 to 8, by
    its EXIF. scans: how many it has.

    known: for each component the last bit position that was sent of each of its 64 coefficients, None before any.
    pieces: what makes the picture, in order, without an end of image.
    """

    progressive: bool
    width: int
    height: int
    known: dict[int, list[int | None]]
    orientation: int = 1
    scans: int = 0
    pieces: list[bytes] = field(default_factory=list)

    @property
    def longest_side(self) -> int:
        return max(self.width, self.height)

    @property
    def restarts(self) -> bool:
        """Whether any of its scans may have restart marks."""
        return any(piece[1] == RESTART_INTERVAL and piece[4:6] != bytes(2) for piece in self.pieces)

    def plain(self, more: bytes = b"") -> bytes:
        """The same picture as a JPEG of these pieces alone. more: entropy-coded data for the end of every scan
        and, where it restarts, of every interval.
        """
        pieces, restarts = [], False
        for piece in self.pieces:
            if piece[1] == RESTART_INTERVAL:
                restarts = piece[4:6] != bytes(2)
            pieces.append(_longer(piece, more, restarts) if more and piece[1] == START_OF_SCAN else piece)
        return b"".join([*pieces, END])


def _longer(scan: bytes, more: bytes, restarts: bool) -> bytes:
    """A scan with more data. Without restarts no decoder reads past a mark, so there it is in place of the first; else
    it is before every mark, and before one of each number behind the last, since whole intervals may be missing.
    """
    end = 2 + int.from_bytes(scan[2:4], "big")
    header, data = scan[:end], scan[end:].rstrip(b"\xff")
    if not restarts:
        mark = _MARK.search(data)
        return header + (data[: mark.start()] if mark else data) + more
    between = _MARK.sub(more[:_BETWEEN_MARKS] + rb"\g<0>", data)
    return header + between + more.join(_EACH_MARK) + more


def walk(data: bytes) -> Jpeg:
    """Follow the segments to the end of image, or to where the data ends; what comes after is ignored.

    Raises ImageUnreadable on what lacks part of its scans, is of a rare kind (lossless, arithmetic, hierarchical), or
    asks for enormously many passes. Whether a scan has all its data, only decoding it tells.
    """
    jpeg: Jpeg | None = None
    orientation: int | None = None
    pieces = [data[:2]]
    for segment in segments(data):
        if segment.code in FRAMES:
            if jpeg is not None:
                raise ImageUnreadable("JPEG with two frames")
            jpeg = _frame(segment)
        elif segment.code == APP1 and orientation is None:
            orientation = _exif_orientation(segment.content)
        if segment.code == START_OF_SCAN:
            pieces.append(data[segment.start : segment.until])
            if _scanned(jpeg, segment.content):
                break
        elif segment.code in _KEPT:
            pieces.append(data[segment.start : segment.end])
    if jpeg is None or not _complete(jpeg):
        raise ImageUnreadable("JPEG is cut off or lacks scans")
    jpeg.orientation = orientation or 1
    jpeg.pieces = pieces
    return jpeg


def longest_side(data: bytes) -> int:
    """In pixels, by its frame alone: no scan is looked at. Raises ImageUnreadable where there is no frame."""
    for segment in segments(data):
        if segment.code in FRAMES:
            return _frame(segment).longest_side
    raise ImageUnreadable("JPEG without a frame")


def _frame(segment: Segment) -> Jpeg:
    code, body = segment.code, segment.content
    if code not in COMMON_FRAMES:
        raise ImageUnreadable("JPEG of a kind that nobody writes")
    if len(body) < 6 or len(body) != 6 + 3 * body[5]:
        raise ImageUnreadable("JPEG frame is malformed")
    _, height, width, count = struct.unpack_from(">BHHB", body)
    if width < 1 or height < 1 or count < 1:
        raise ImageUnreadable("JPEG without pixels")
    known: dict[int, list[int | None]] = {identifier: [None] * _COEFFICIENTS for identifier in body[6::3]}
    return Jpeg(code == _PROGRESSIVE, width, height, known)


def _scanned(jpeg: Jpeg | None, body: bytes) -> bool:
    """Note what a scan sends; whether it is the last one. Of a progressive JPEG decoders read all that there are."""
    if jpeg is None:
        raise ImageUnreadable("JPEG scan before its frame")
    jpeg.scans += 1
    if jpeg.scans > min(MAX_SCANS, MAX_SCANNED_PIXELS // (jpeg.width * jpeg.height)):
        raise ImageUnreadable("JPEG with too many scans")
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
    return not jpeg.progressive and _complete(jpeg)


def _complete(jpeg: Jpeg) -> bool:
    """Whether every coefficient was sent to its last bit. A progressive file that is cut off lacks its last scans."""
    return all(bit == 0 for bits in jpeg.known.values() for bit in bits)


def _exif_orientation(body: bytes) -> int | None:
    """1 to 8, by the first directory of an EXIF block (EXIF 2.32, 4.6); None where there is none."""
    tiff = body[len(_EXIF) :]
    order = {b"MM\0*": ">", b"II*\0": "<"}.get(tiff[:4])
    if not body.startswith(_EXIF) or order is None or len(tiff) < 8:
        return None
    (at,) = struct.unpack_from(order + "I", tiff, 4)
    if at + 2 > len(tiff):
        return None
    (count,) = struct.unpack_from(order + "H", tiff, at)
    for entry in range(at + 2, min(at + 2 + 12 * count, len(tiff) - 11), 12):
        tag, _, _, value = struct.unpack_from(order + "HHIH", tiff, entry)
        if tag == _ORIENTATION:
            return value if value in range(1, 9) else 1
    return 1
