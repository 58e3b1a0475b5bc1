"""Request bodies: read bounded, then form-urlencoded, multipart or JSON into one set of parameters.

Decided where nobody says: a parameter in the query string is refused, since it would stand in every log on the way;
unknown ones there and in the body are ignored. Text is decoded by the charset that is named for it: nearest by the
part's own Content-Type, else by a field `_charset_` of the form, else by the body's Content-Type, else it is UTF-8.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from aiohttp import web

from gateway import charsets, headers, jsonobject, multipart, urlencoded
from gateway.bodies import read_body
from gateway.charsets import UTF_8, Charset
from gateway.images import begins_as_image
from shared.contract import MAX_IMAGE_BYTES
from shared.errors import BodyUnreadable, ContractError, ImageTooLarge, InvalidRequest

MAX_OTHERS_BYTES: Final = 64 * 1024
"""What all but the images may take in a body that is as large as can be."""

MAX_IMG_CHARACTERS: Final = -(-MAX_IMAGE_BYTES // 3) * 4
"""Standard base64 of the largest image."""

_IMAGES: Final = ("img", "img1", "img2")
_KNOWN: Final = (*_IMAGES, "name", "facedb", "person_id", "faces")
_CHARSET: Final = "_charset_"
"""The field of a form in which a browser names the charset that it used (HTML, 4.10.22; RFC 7578, 4.6)."""


def max_body_bytes(images: int) -> int:
    """The largest form with so many images that can be valid: every base64 character percent-encoded, and room for the
    rest.
    """
    return images * 3 * MAX_IMG_CHARACTERS + MAX_OTHERS_BYTES


@dataclass
class Parameters:
    """What a request carries, whatever its content type.

    text: parameters other than images. images: as sent. files: names of those that need not be base64, since they came
    as a file or begin as an image does.
    """

    text: dict[str, str] = field(default_factory=dict)
    images: dict[str, bytes] = field(default_factory=dict)
    files: set[str] = field(default_factory=set)

    def add_image(self, name: str, value: bytes, is_file: bool = False) -> None:
        """Take an image once. Raises InvalidRequest on a second one of that name."""
        self._once(name)
        self.images[name] = value
        if is_file:
            self.files.add(name)

    def add_text(self, name: str, value: bytes, charset: Charset = UTF_8) -> None:
        """Take another parameter once. Raises InvalidRequest on a second one, and on one that is no text in its
        charset, is longer than any, or has a NUL.
        """
        self._once(name)
        if len(value) > MAX_OTHERS_BYTES:
            raise InvalidRequest(f"{name} is longer than {MAX_OTHERS_BYTES} bytes")
        self.text[name] = charsets.text(value, charset, name)
        if "\0" in self.text[name]:
            raise InvalidRequest(f"{name} has a NUL character")

    def _once(self, name: str) -> None:
        if name in self.text or name in self.images:
            raise InvalidRequest(f"{name} is given twice")


async def read(request: web.Request, *images: str) -> Parameters:
    """The parameters of a request. images: names of those that it may have. Where it may have none, it may be as
    large as with one, which is ignored.

    Raises InvalidRequest, or ImageTooLarge when only an image can be the cause.
    """
    _require_no_query(request)
    parse, others = _parser(request)
    limit = max_body_bytes(len(images) or 1)
    body = await read_body(request, limit)
    if len(body) > limit:
        raise _too_large(images, others(body, images))
    return parse(body)


def _require_no_query(request: web.Request) -> None:
    for name in _KNOWN if request.query_string else ():
        if name in request.query:
            raise InvalidRequest(f"{name} belongs in the body, not in the query string")


_Parse = Callable[[bytes], Parameters]
_Others = Callable[[bytes, Sequence[str]], int]


def _parser(request: web.Request) -> tuple[_Parse, _Others]:
    """By content type: the parser, and what tells how much of a body, of which the beginning is given, is not in the
    images of these names.
    """
    content_type = headers.parse(request.headers.get("Content-Type", ""), "Content-Type")
    label = content_type.parameters.get("charset")
    charset = charsets.named(label, "Content-Type") if label else UTF_8
    match content_type.main:
        case "application/x-www-form-urlencoded":
            return lambda body: parse_form(body, charset), _other_than(b"&%s=", b"&")
        case "application/json":
            return lambda body: parse_json(body, charset), _other_than(rb'"%s"\s*+:\s*+"', b'"')
        case "multipart/form-data":
            boundary = multipart.boundary(content_type)
            return (
                lambda body: parse_multipart(body, boundary, charset),
                lambda body, images: len(body) - multipart.bytes_of(frozenset(images), body, boundary),
            )
        case _:
            raise InvalidRequest(
                "Content-Type must be application/x-www-form-urlencoded, multipart/form-data or application/json"
            )


def _other_than(image_start: bytes, image_end: bytes) -> _Others:
    """By a pattern of what comes before an image, with %s for its name, and what comes after it. Patterns begin with
    bytes, not with alternatives: these are found 20 times faster.
    """

    def others(body: bytes, images: Sequence[str]) -> int:
        rest = b"&" + body  # as if before the first parameter of a form
        for name in images:
            image = re.search(image_start % name.encode(), rest)
            if image is not None:
                end = rest.find(image_end, image.end())
                rest = rest[: image.start()] + (rest[end:] if end >= 0 else b"")
        return len(rest)

    return others


def _too_large(images: Sequence[str], others: int) -> ContractError:
    """What is wrong with a body that is too large, of which so many bytes are in no image."""
    if not images:
        return BodyUnreadable("body is too large")
    if others <= MAX_OTHERS_BYTES:
        return ImageTooLarge()
    return BodyUnreadable(f"body is too large, all but {' and '.join(images)} may take {MAX_OTHERS_BYTES} bytes")


def parse_form(body: bytes, charset: Charset = UTF_8) -> Parameters:
    """application/x-www-form-urlencoded: images in base64."""
    parameters = Parameters()
    pairs = list(urlencoded.pairs(body))
    charset = _named_by_field(pairs, charset)
    for written, value in pairs:
        name = charsets.text(written, charset, "a parameter's name")
        if name in _IMAGES:
            parameters.add_image(name, urlencoded.unquote(value, name))
        elif name in _KNOWN:
            parameters.add_text(name, urlencoded.unquote(value, name), charset)
    return parameters


def parse_multipart(body: bytes, boundary: bytes, charset: Charset = UTF_8) -> Parameters:
    """multipart/form-data: images as they are or in base64, both with a filename or without."""
    parameters = Parameters()
    parts = multipart.parts(body, boundary, charset)
    charset = _named_by_field([(part.name.encode(), part.value) for part in parts], charset)
    for part in parts:
        if part.name in _IMAGES:
            parameters.add_image(part.name, part.value, part.has_filename or begins_as_image(part.value))
        elif part.name in _KNOWN:
            own = headers.parse(part.content_type, "Content-Type of a part").parameters.get("charset")
            parameters.add_text(part.name, part.value, charsets.named(own, f"the part {part.name}") if own else charset)
    return parameters


def _named_by_field(pairs: Iterable[tuple[bytes, bytes]], charset: Charset) -> Charset:
    """The charset that a form names in a field of its own, if it does, else the given one. Scripts that send the field
    often leave it empty.
    """
    labels = {value for name, value in pairs if name == _CHARSET.encode()} - {b""}
    if len(labels) > 1:
        raise InvalidRequest(f"{_CHARSET} is given twice")
    return charsets.named(labels.pop().decode("latin-1"), _CHARSET) if labels else charset


def parse_json(body: bytes, charset: Charset = UTF_8) -> Parameters:
    """A JSON object of strings, images in base64; null is the same as left out."""
    parameters = Parameters()
    for name, value in jsonobject.pairs(body, charset):
        if name not in _KNOWN or value is None:
            continue
        if not isinstance(value, str):
            raise InvalidRequest(f"{name} must be a string, but is {jsonobject.kind(value)}")
        try:
            written = value.encode()
        except UnicodeEncodeError:
            raise InvalidRequest(f"{name} has half of a surrogate pair") from None
        if name in _IMAGES:
            parameters.add_image(name, written)
        else:
            parameters.add_text(name, written)
    return parameters
