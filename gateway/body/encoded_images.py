"""What can be told of an image without decoding it: its bytes out of base64, its kind, its size in pixels."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import pybase64

from shared.contract import MAX_IMAGE_BYTES
from shared.errors import ImageTooLarge, ImageUnreadable, InvalidRequest
from shared.imagefile import jpeg

MAX_IMG_CHARACTERS: Final = -(-MAX_IMAGE_BYTES // 3) * 4
"""Standard base64 of the largest image."""

MAX_DATA_PREFIX_BYTES: Final = 1024
"""Of a `data:…;base64,` before an image; browsers write some 25, mail programs put the name of a file in it."""

_BEGINNINGS: Final = (b"\xff\xd8", b"\x89PNG", b"BM")

# The URL-safe alphabet, and the spaces that form decoding makes of unescaped "+", in one pass.
_ALPHABET = bytes.maketrans(b"-_ ", b"+/+")
LINE_BREAKS: Final = b"\r\n\t"
"""What base64 may be broken up by; it says nothing."""

_BMP_COMPRESSIONS = (0, 1, 2, 3)  # none, run lengths of 8 and 4 bits, bit fields; 4 and 5 hold a JPEG or PNG


def decode_base64(text: bytes, name: str = "img") -> bytes:
    """The bytes behind standard or URL-safe base64, with or without padding, line breaks or a data: prefix. Of more
    than the largest image it is only so much that it is seen to be more.

    Raises InvalidRequest, about the parameter of that name, when it is empty or no base64.
    """
    body = _without_data_prefix(text).translate(None, LINE_BREAKS).lstrip(b" ")
    # Spaces at the end are the last "+" of a form when that makes whole groups of four, else only spaces.
    bare = body.rstrip(b" ")
    body = body if len(bare) % 4 and len(body) % 4 == 0 else bare
    body = body[: MAX_IMG_CHARACTERS + 4].translate(_ALPHABET).rstrip(b"=")
    if not body:
        raise InvalidRequest(f"{name} is empty; it must be the base64 of a jpeg, png or bmp image")
    try:
        return pybase64.b64decode(body + b"=" * (-len(body) % 4), validate=True)
    except ValueError:  # binascii.Error is one
        raise InvalidRequest(f"{name} is not base64") from None


def begins_as_image(data: bytes) -> bool:
    """Whether bytes that may be base64 begin as a jpeg, png or bmp image does. Only a BMP's beginning is base64 too, of
    what is no image.
    """
    return data.startswith(_BEGINNINGS)


def from_file(data: bytes, name: str) -> bytes:
    """The image of a file: its bytes when they begin as an image does, else what they are the base64 of, else its bytes
    all the same, which are an image of another kind or none.
    """
    if begins_as_image(data):
        return data
    try:
        return decode_base64(data, name)
    except InvalidRequest:
        return data


def _without_data_prefix(text: bytes) -> bytes:
    """What comes after `data:…;base64,` (RFC 2397), whatever kind of data it names: the content tells that.

    Base64 has no comma, so the prefix ends with the last comma that it can have, and one in quotes is none of it.
    """
    given = text.lstrip()
    comma = given.rfind(b",", 0, MAX_DATA_PREFIX_BYTES)
    before = given[: max(comma, 0)].rstrip().lower()
    if not before.startswith(b"data:") or not before.endswith(b"base64"):
        return text
    return given[comma + 1 :] if before[: -len(b"base64")].rstrip().endswith(b";") else text


@dataclass(frozen=True)
class Header:
    """What an image says of itself; width and height in pixels as stored, before EXIF orientation."""

    kind: Literal["jpeg", "png", "bmp"]
    width: int
    height: int


def check_all(images: Sequence[bytes], max_pixels: int) -> None:
    """Check each image; raises as `check` does, and of several that are wrong for one that is too large."""
    if any(len(data) > MAX_IMAGE_BYTES for data in images):
        raise ImageTooLarge
    for data in images:
        check(data, max_pixels)


def check(data: bytes, max_pixels: int) -> Header:
    """Size, kind and pixel count of an image.

    Raises ImageTooLarge beyond MAX_IMAGE_BYTES; ImageUnreadable for another kind, a header that is cut off, or more
    than max_pixels pixels (a decompression bomb costs no more than reading its header).
    """
    if len(data) > MAX_IMAGE_BYTES:
        raise ImageTooLarge
    try:
        header = _read_header(data)
    except (struct.error, IndexError):
        raise ImageUnreadable("header cut off") from None
    if header.width < 1 or header.height < 1:
        raise ImageUnreadable("no pixels")
    if header.width * header.height > max_pixels:
        raise ImageUnreadable("too many pixels")
    return header


def _read_header(data: bytes) -> Header:
    if data.startswith(jpeg.START):
        return _jpeg(data)
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return _png(data)
    if data.startswith(b"BM"):
        return _bmp(data)
    raise ImageUnreadable("no jpeg, png or bmp")


def _png(data: bytes) -> Header:
    """PNG (ISO/IEC 15948) 11.2.2: IHDR is the first chunk, of 13 bytes."""
    length, kind, width, height = struct.unpack_from(">I4sII", data, 8)
    if kind != b"IHDR" or length != 13:
        raise ImageUnreadable("png without IHDR")
    return Header("png", width, height)


def _bmp(data: bytes) -> Header:
    """BITMAPFILEHEADER, then BITMAPCOREHEADER (12 bytes) or BITMAPINFOHEADER and its successors (40 and more)."""
    (header_size,) = struct.unpack_from("<I", data, 14)
    if header_size == 12:
        width, height = struct.unpack_from("<HH", data, 18)
    else:
        width, height, _, _, compression = struct.unpack_from("<iiHHI", data, 18)
        if compression not in _BMP_COMPRESSIONS:
            raise ImageUnreadable("bmp around another format")
    return Header("bmp", width, abs(height))  # a negative height: rows from top to bottom


def _jpeg(data: bytes) -> Header:
    """JPEG (ITU-T T.81) B.2: the frame header is in the first of the segments SOF0 to SOF15.

    The worker walks the same segments, and only those of this frame reach a decoder. So no decoder sees another size.
    """
    for segment in jpeg.segments(data):
        if segment.code in jpeg.COMMON_FRAMES:
            height, width = struct.unpack_from(">xHH", segment.content)
            return Header("jpeg", width, height)
        if segment.code in (*jpeg.FRAMES, jpeg.START_OF_SCAN):
            break
    raise ImageUnreadable("jpeg without frame header")
