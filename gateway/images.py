"""What can be told of an image without decoding it: its bytes out of base64, its kind, its size in pixels."""

import re
import struct
from dataclasses import dataclass
from typing import Literal

import pybase64

from shared.contract import MAX_IMAGE_BYTES
from shared.errors import ImageTooLarge, ImageUnreadable, InvalidRequest

_DATA_URI = re.compile(rb"\s*data:image/[A-Za-z0-9.+-]+;base64,", re.IGNORECASE)

# The URL-safe alphabet, and the spaces that form decoding makes of unescaped "+", in one pass.
_ALPHABET = bytes.maketrans(b"-_ ", b"+/+")
_LINE_BREAKS = b"\r\n\t"


def decode_base64(text: bytes) -> bytes:
    """The bytes behind standard or URL-safe base64, with or without padding, line breaks or a data: prefix.

    Raises InvalidRequest when it is empty or no base64.
    """
    prefix = _DATA_URI.match(text)
    body = (text[prefix.end() :] if prefix else text).strip()
    body = body.translate(_ALPHABET, _LINE_BREAKS).rstrip(b"=")
    if not body:
        raise InvalidRequest("img is empty; it must be the base64 of a jpeg, png or bmp image")
    try:
        return pybase64.b64decode(body + b"=" * (-len(body) % 4), validate=True)
    except ValueError:  # binascii.Error is one
        raise InvalidRequest("img is not base64") from None


@dataclass(frozen=True)
class Header:
    """What an image says of itself; width and height in pixels as stored, before EXIF orientation."""

    kind: Literal["jpeg", "png", "bmp"]
    width: int
    height: int


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
    if data.startswith(b"\xff\xd8\xff"):
        return _jpeg(data)
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return _png(data)
    if data.startswith(b"BM"):
        return _bmp(data)
    raise ImageUnreadable("no jpeg, png or bmp")


def _png(data: bytes) -> Header:
    """PNG (ISO/IEC 15948) 11.2.2: IHDR is the first chunk."""
    if data[12:16] != b"IHDR":
        raise ImageUnreadable("png without IHDR")
    width, height = struct.unpack_from(">II", data, 16)
    return Header("png", width, height)


def _bmp(data: bytes) -> Header:
    """BITMAPFILEHEADER, then BITMAPCOREHEADER (12 bytes) or BITMAPINFOHEADER and its successors (40 and more)."""
    (header_size,) = struct.unpack_from("<I", data, 14)
    if header_size == 12:
        width, height = struct.unpack_from("<HH", data, 18)
    else:
        width, height = struct.unpack_from("<ii", data, 18)
    return Header("bmp", width, abs(height))  # a negative height: rows from top to bottom


def _jpeg(data: bytes) -> Header:
    """JPEG (ITU-T T.81) B.2: segments up to the frame header, SOF0-SOF15 but for DHT, JPG and DAC."""
    at = 2
    while True:
        if data[at] != 0xFF:
            raise ImageUnreadable("jpeg without frame header")
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", data, at + 5)
            return Header("jpeg", width, height)
        if marker in (0xD9, 0xDA):  # end of image or start of scan before any frame
            raise ImageUnreadable("jpeg without frame header")
        (length,) = struct.unpack_from(">H", data, at + 2)
        at += 2 + max(length, 2)
