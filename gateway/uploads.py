"""Request bodies: read bounded, then form-urlencoded, multipart or JSON into one set of parameters.

Decided where nobody says: a parameter in the query string is refused, since it would stand in every log on the way;
unknown ones there and in the body are ignored. A charset may be named as long as it contains ASCII: nothing else is
valid in any parameter.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from aiohttp import web

from gateway import jsonobject, multipart, urlencoded
from gateway.bodies import read_body
from shared.contract import MAX_IMAGE_BYTES
from shared.errors import BodyUnreadable, ContractError, ImageTooLarge, InvalidRequest

MAX_OTHERS_BYTES: Final = 64 * 1024
"""What all but the images may take in a body that is as large as can be."""

MAX_IMG_CHARACTERS: Final = -(-MAX_IMAGE_BYTES // 3) * 4
"""Standard base64 of the largest image."""

_IMAGES: Final = ("img", "img1", "img2")
_KNOWN: Final = (*_IMAGES, "name", "facedb", "person_id", "faces")
_CHARSETS: Final = (None, "utf-8", "utf8", "us-ascii", "ascii", "iso-8859-1", "latin1", "windows-1252")


def max_body_bytes(images: int) -> int:
    """The largest form with so many images that can be valid: every base64 character percent-encoded, and room for the
    rest.
    """
    return images * 3 * MAX_IMG_CHARACTERS + MAX_OTHERS_BYTES


@dataclass
class Parameters:
    """What a request carries, whatever its content type.

    text: parameters other than images. images: as sent. files: names of those that are the image itself, no base64.
    """

    text: dict[str, str] = field(default_factory=dict)
    images: dict[str, bytes] = field(default_factory=dict)
    files: set[str] = field(default_factory=set)

    def add(self, name: str, value: bytes, is_file: bool = False) -> None:
        """Take a parameter once; unknown ones are ignored. Raises InvalidRequest on a second one, on broken UTF-8 and
        on NUL.
        """
        if name not in _KNOWN:
            return
        if name in self.text or name in self.images:
            raise InvalidRequest(f"{name} is given twice")
        if name in _IMAGES:
            self.images[name] = value
            if is_file:
                self.files.add(name)
            return
        if b"\0" in value:
            raise InvalidRequest(f"{name} has a NUL character")
        try:
            self.text[name] = value.decode()
        except UnicodeDecodeError:
            raise InvalidRequest(f"{name} is not UTF-8") from None


async def read(request: web.Request, *images: str) -> Parameters:
    """The parameters of a request. images: names of those that it may have. Where it may have none, it may be as
    large as with one, which is ignored.

    Raises InvalidRequest, or ImageTooLarge when only an image can be the cause.
    """
    _require_no_query(request)
    parse, image_start, image_end = _parser(request)
    limit = max_body_bytes(len(images) or 1)
    body = await read_body(request, limit)
    if len(body) > limit:
        raise _too_large(body, images, image_start, image_end)
    return parse(body)


def _require_no_query(request: web.Request) -> None:
    for name in _KNOWN if request.query_string else ():
        if name in request.query:
            raise InvalidRequest(f"{name} belongs in the body, not in the query string")


def _parser(request: web.Request) -> tuple[Callable[[bytes], Parameters], bytes, bytes]:
    """By content type: the parser, a pattern of what comes before an image, with %s for its name, and what comes after
    it. The patterns begin with bytes, not with alternatives: these are found 20 times faster.
    """
    if request.charset is not None and request.charset.lower() not in _CHARSETS:
        raise InvalidRequest("charset of Content-Type must be UTF-8")
    match request.content_type:
        case "application/x-www-form-urlencoded":
            return parse_form, b"&%s=", b"&"
        case "application/json":
            return parse_json, rb'"%s"\s*:\s*"', b'"'
        case "multipart/form-data":
            delimiter = multipart.delimiter(request.headers["Content-Type"])
            return lambda body: parse_multipart(body, delimiter), rb'name="?%s"?[\s;]', delimiter
        case _:
            raise InvalidRequest(
                "Content-Type must be application/x-www-form-urlencoded, multipart/form-data or application/json"
            )


def _too_large(body: bytes, images: Sequence[str], image_start: bytes, image_end: bytes) -> ContractError:
    """Whose fault it is that a body, of which this is the beginning, is too large."""
    if not images:
        return BodyUnreadable("body is too large")
    others = b"&" + body  # as if before the first parameter of a form
    for name in images:
        image = re.search(image_start % name.encode(), others)
        if image is not None:
            end = others.find(image_end, image.end())
            others = others[: image.start()] + (others[end:] if end >= 0 else b"")
    if len(others) <= MAX_OTHERS_BYTES:
        return ImageTooLarge()
    return BodyUnreadable(f"body is too large, all but {' and '.join(images)} may take {MAX_OTHERS_BYTES} bytes")


def parse_form(body: bytes) -> Parameters:
    """application/x-www-form-urlencoded."""
    parameters = Parameters()
    for name, value in urlencoded.pairs(body):
        if name in _KNOWN:
            parameters.add(name, urlencoded.unquote(value, name))
    return parameters


def parse_multipart(body: bytes, delimiter: bytes) -> Parameters:
    """multipart/form-data: images as files or as base64."""
    parameters = Parameters()
    for part in multipart.parts(body, delimiter):
        parameters.add(urlencoded.name_text(part.name), part.value, part.is_file)
    return parameters


def parse_json(body: bytes) -> Parameters:
    """A JSON object of strings; null is the same as left out."""
    parameters = Parameters()
    for name, value in jsonobject.pairs(body):
        if name not in _KNOWN or value is None:
            continue
        if not isinstance(value, str):
            raise InvalidRequest(f"{name} must be a string")
        try:
            parameters.add(name, value.encode())
        except UnicodeEncodeError:
            raise InvalidRequest(f"{name} has half of a surrogate pair") from None
    return parameters
