"""Images as callers send them: base64 to bytes, and the checks that need no decoding."""

from collections.abc import Sequence
from typing import Final

import pybase64

from shared.contract import MAX_IMAGE_BYTES, MAX_IMG_CHARACTERS
from shared.errors import ImageTooLarge, InvalidRequest
from shared.imagefile.header import Header, read_header, resembles_image

MAX_DATA_PREFIX_BYTES: Final = 1024
"""Longest `data:…;base64,` before an image; browsers write some 25 bytes, mail programs put a file name in it."""

# The URL-safe alphabet, and the spaces that form decoding makes of unescaped "+", in one pass.
_OTHERS: Final = b"-_ "
_ALPHABET: Final = bytes.maketrans(_OTHERS, b"+/+")
LINE_BREAKS: Final = b"\r\n\t"
"""White space within base64, which is ignored."""


def decode_base64(text: bytes, name: str = "img") -> bytes:
    """Decode standard or URL-safe base64, with or without padding, line breaks or a data: prefix.

    Of more than MAX_IMAGE_BYTES only enough is decoded to exceed that. Raises InvalidRequest, which names the parameter
    `name`, if the text is empty or not base64.
    """
    body = _without_data_prefix(text)
    # Looking for a byte takes a tenth of the time of a translation, which most images do not need.
    if any(byte in body for byte in LINE_BREAKS):
        body = body.translate(None, LINE_BREAKS)
    body = body.lstrip(b" ")
    # Spaces at the end are the last "+" of a form when that makes whole groups of four, else only spaces.
    bare = body.rstrip(b" ")
    body = body if len(bare) % 4 and len(body) % 4 == 0 else bare
    body = body[: MAX_IMG_CHARACTERS + 4].rstrip(b"=")
    if any(byte in body for byte in _OTHERS):
        body = body.translate(_ALPHABET)
    if not body:
        raise InvalidRequest(f"{name} is empty; it must be the base64 of a jpeg, png or bmp image")
    try:
        return pybase64.b64decode(body + b"=" * (-len(body) % 4), validate=True)
    except ValueError:  # binascii.Error is one
        raise InvalidRequest(f"{name} is not base64") from None


def from_file(data: bytes, name: str) -> bytes:
    """Return the image in a file: its bytes if they begin as an image does, else its content decoded from base64, else
    its bytes all the same, which are an image of another kind or none. `name` is that of the parameter.
    """
    if resembles_image(data):
        return data
    try:
        return decode_base64(data, name)
    except InvalidRequest:
        return data


def _without_data_prefix(text: bytes) -> bytes:
    """Return what follows `data:…;base64,` (RFC 2397), whatever media type it names.

    Base64 has no comma, so the prefix ends with the last comma within MAX_DATA_PREFIX_BYTES; a comma in quotes belongs
    to the prefix.
    """
    given = text.lstrip()
    comma = given.rfind(b",", 0, MAX_DATA_PREFIX_BYTES)
    before = given[: max(comma, 0)].rstrip().lower()
    if not before.startswith(b"data:") or not before.endswith(b"base64"):
        return text
    return given[comma + 1 :] if before[: -len(b"base64")].rstrip().endswith(b";") else text


def check_all(images: Sequence[bytes], max_pixels: int) -> None:
    """Check each image. Raises as `check` does; one that is too large comes before any other error."""
    if any(len(data) > MAX_IMAGE_BYTES for data in images):
        raise ImageTooLarge
    for data in images:
        check(data, max_pixels)


def check(data: bytes, max_pixels: int) -> Header:
    """Return the header of an image. Raises ImageTooLarge beyond MAX_IMAGE_BYTES, and ImageUnreadable as read_header
    does.
    """
    if len(data) > MAX_IMAGE_BYTES:
        raise ImageTooLarge
    return read_header(data, max_pixels)
