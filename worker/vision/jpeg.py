"""A JPEG without everything that does not make the picture (ITU-T T.81, annex B). No pixel is decoded.

How a decoder treats a file that is cut off, damaged or hostile depends on its release. So it is given only the segments
that make the picture, in good order.
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
    PROGRESSIVE_FRAME,
    QUANTISATION_TABLES,
    RESTART_INTERVAL,
    START_OF_SCAN,
    Segment,
    frame_of,
    segments,
)

MAX_SCANS: Final = 100
"""Most scans of a JPEG. Progressive encoders write 3 to 20; each is a pass over the whole image, however short."""

SCANS_AT_MAX_PIXELS: Final = 12
"""Most scans of the largest image: the 10 that every common encoder writes, and a few more. Of smaller images
the product of scans and pixels is bounded likewise."""

END: Final = b"\xff\xd9"

# Stands alone in a scan: a restart marker, or TEM.
_LONE_MARKER: Final = re.compile(rb"\xff++[\x01\xd0-\xd7]")
_PADDING_BETWEEN: Final = 8  # bytes: a million restart markers fit into 2 MiB
_EACH_RESTART: Final = (b"", *(bytes((0xFF, code)) for code in range(0xD0, 0xD8)))

_COEFFICIENTS: Final = 64

# JFIF (APP0) and Adobe (APP14) decide what the components are: grey, YCbCr, RGB, CMYK, YCCK.
_KEPT: Final = FRAMES | {APP0, APP14, HUFFMAN_TABLES, QUANTISATION_TABLES, RESTART_INTERVAL}

_EXIF: Final = b"Exif\0\0"
_ORIENTATION: Final = 0x0112


@dataclass
class Jpeg:
    """A parsed JPEG.

    width, height: pixels as stored, before EXIF orientation. last_bits: of each component, the last bit position sent
    for each of its 64 coefficients, None before any. orientation: EXIF's, 1 to 8. scans: how many there are. pieces:
    the segments that make the picture, in order, without the end of image.
    """

    progressive: bool
    width: int
    height: int
    last_bits: dict[int, list[int | None]]
    orientation: int = 1
    scans: int = 0
    pieces: list[bytes] = field(default_factory=list)

    @property
    def longest_side(self) -> int:
        return max(self.width, self.height)

    @property
    def restarts(self) -> bool:
        """Whether any scan may have restart markers."""
        return any(piece[1] == RESTART_INTERVAL and piece[4:6] != bytes(2) for piece in self.pieces)

    def encoded(self, padding: bytes = b"") -> bytes:
        """Return the picture as a JPEG of its pieces alone. padding: entropy-coded data to append to every scan and,
        where it restarts, to every interval.
        """
        pieces, restarts = [], False
        for piece in self.pieces:
            if piece[1] == RESTART_INTERVAL:
                restarts = piece[4:6] != bytes(2)
            pieces.append(_padded(piece, padding, restarts) if padding and piece[1] == START_OF_SCAN else piece)
        return b"".join([*pieces, END])


def _padded(scan: bytes, padding: bytes, restarts: bool) -> bytes:
    """Return a scan with more data. Without restarts no decoder reads past a marker, so the padding replaces the first;
    else it goes before every marker, and before one of each number at the end, since whole intervals may be missing.
    """
    end = 2 + int.from_bytes(scan[2:4], "big")
    header, data = scan[:end], scan[end:].rstrip(b"\xff")
    if not restarts:
        marker = _LONE_MARKER.search(data)
        return header + (data[: marker.start()] if marker else data) + padding
    between = _LONE_MARKER.sub(padding[:_PADDING_BETWEEN] + rb"\g<0>", data)
    return header + between + padding.join(_EACH_RESTART) + padding


def parse(data: bytes, work_pixels: int) -> Jpeg:
    """Parse a JPEG to its end of image, or to where the data ends; what follows is ignored.

    work_pixels: pixels of the largest image, by which the scans are bounded. Raises ImageUnreadable if scans are
    missing, the frame is of a rare kind (lossless, arithmetic, hierarchical), or there are too many scans. Whether a
    scan has all its data, only decoding shows.
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
            if _is_last_scan(jpeg, segment.content, work_pixels):
                break
        elif segment.code in _KEPT:
            pieces.append(data[segment.start : segment.end])
    if jpeg is None or not _is_complete(jpeg):
        raise ImageUnreadable("JPEG is cut off or lacks scans")
    jpeg.orientation = orientation or 1
    jpeg.pieces = pieces
    return jpeg


def _frame(segment: Segment) -> Jpeg:
    if segment.code not in COMMON_FRAMES:
        raise ImageUnreadable("JPEG of a kind that nobody writes")
    frame, body = frame_of(segment), segment.content
    if len(body) < 6 or len(frame.components) != 3 * body[5]:
        raise ImageUnreadable("JPEG frame is malformed")
    if frame.width < 1 or frame.height < 1 or not frame.components:
        raise ImageUnreadable("JPEG without pixels")
    last_bits: dict[int, list[int | None]] = {component: [None] * _COEFFICIENTS for component in frame.components[::3]}
    return Jpeg(frame.code == PROGRESSIVE_FRAME, frame.width, frame.height, last_bits)


def _is_last_scan(jpeg: Jpeg | None, body: bytes, work_pixels: int) -> bool:
    """Note what a scan sends, and return whether it is the last. Decoders read every scan of a progressive JPEG."""
    if jpeg is None:
        raise ImageUnreadable("JPEG scan before its frame")
    jpeg.scans += 1
    if jpeg.scans > min(MAX_SCANS, SCANS_AT_MAX_PIXELS * work_pixels // (jpeg.width * jpeg.height)):
        raise ImageUnreadable("JPEG with too many scans")
    count = body[0] if body else 0
    if len(body) != 4 + 2 * count:
        raise ImageUnreadable("JPEG scan is malformed")
    first, last, bits = body[-3:]
    if not jpeg.progressive:
        first, last, bits = 0, _COEFFICIENTS - 1, 0
    for component in body[1 : 1 + 2 * count : 2]:
        if component not in jpeg.last_bits or last >= _COEFFICIENTS:
            raise ImageUnreadable("JPEG scan is malformed")
        for coefficient in range(first, last + 1):
            jpeg.last_bits[component][coefficient] = bits & 0x0F
    return not jpeg.progressive and _is_complete(jpeg)


def _is_complete(jpeg: Jpeg) -> bool:
    """Return whether every coefficient was sent to its last bit. A truncated progressive JPEG lacks its last scans."""
    return all(bit == 0 for bits in jpeg.last_bits.values() for bit in bits)


def _exif_orientation(body: bytes) -> int | None:
    """Return the orientation, 1 to 8, from the first directory of an EXIF block (EXIF 2.32, 4.6); None if this is not
    one.
    """
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
