"""Request bodies: read bounded, then form-urlencoded, multipart or JSON into one set of parameters.

Decided where nobody says: a parameter in the query string is refused, since it would stand in every log on the way;
unknown ones there and in the body are ignored. Text is decoded by the charset that is named for it: nearest by the
part's own Content-Type, else by a field `_charset_` of the form, else by the body's Content-Type, else it is UTF-8.
"""

import re
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from aiohttp import web

from gateway.body import charsets, header_values, json_object, multipart
from gateway.body.charsets import UTF_8, Charset
from gateway.body.encoded_images import LINE_BREAKS
from gateway.body.reading import receive
from gateway.body.urlencoded import Form, Kept
from shared.calls import CALLS, FieldNames, field_names
from shared.contract import MAX_IMG_CHARACTERS
from shared.errors import BodyUnreadable, ContractError, ImageTooLarge, InvalidRequest
from shared.imagefile.header import resembles_image

MAX_OTHERS_BYTES: Final = 64 * 1024
"""What all but the images may take in a body that is as large as can be."""

KNOWN: Final = field_names(CALLS)
"""The parameters of the API's calls. One that another call takes is read, and ignored later."""

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


async def read(
    request: web.Request,
    *images: str,
    known: FieldNames = KNOWN,
    hold: Callable[[int], None] = lambda _size: None,
) -> Parameters:
    """Return the parameters of a request. images: the names of the call's image parameters; where it has none, the body
    may be as large as with one, which is ignored. known: the parameters of all calls. hold: is called with the number
    of bytes that are held as the body arrives; an error that it raises ends the reading.

    Raises InvalidRequest, or ImageTooLarge when only an image can be the cause.
    """
    _require_no_query(request, known)
    body = _body(request, images, known)
    limit = max_body_bytes(len(images) or 1)

    def take(piece: bytes) -> None:
        body.feed(piece)
        hold(body.size)

    if await receive(request, limit, take) > limit:
        raise _too_large(images, body.others())
    return body.parameters()


def _require_no_query(request: web.Request, known: FieldNames) -> None:
    for name in (*known.images, *known.texts) if request.query_string else ():
        if name in request.query:
            raise InvalidRequest(f"{name} belongs in the body, not in the query string")


class _Body(Protocol):
    """A body of one content type as it arrives."""

    @property
    def size(self) -> int:
        """Bytes of it that are held."""

    def feed(self, piece: bytes) -> None:
        """The next piece."""

    def parameters(self) -> Parameters:
        """What it says, once all of it has come."""

    def others(self) -> int:
        """How many bytes of what has come are not in the images of the call."""


def _body(request: web.Request, images: Sequence[str], known: FieldNames) -> _Body:
    """Return the body of the request's content type. images: the names of the call's image parameters."""
    content_type = header_values.parse(request.headers.get("Content-Type", ""), "Content-Type")
    label = content_type.parameters.get("charset")
    charset = charsets.named(label, "Content-Type") if label else UTF_8
    match content_type.main:
        case "application/x-www-form-urlencoded":
            return _FormBody(images, charset, known)
        case "application/json":
            return _WholeBody(lambda body: parse_json(body, charset, known), lambda body: _others_of_json(body, images))
        case "multipart/form-data":
            boundary = multipart.boundary(content_type)
            return _WholeBody(
                lambda body: parse_multipart(body, boundary, charset, known),
                lambda body: len(body) - multipart.bytes_of(frozenset(images), body, boundary),
            )
        case _:
            raise InvalidRequest(
                "Content-Type must be application/x-www-form-urlencoded, multipart/form-data or application/json"
            )


class _FormBody:
    """A form, which is decoded as it arrives: escaped, it is three times as long. Images are in base64."""

    def __init__(self, images: Sequence[str], charset: Charset, known: FieldNames) -> None:
        kept = dict.fromkeys((*known.texts, _CHARSET), Kept(MAX_OTHERS_BYTES + 1))
        kept |= dict.fromkeys(images, Kept(MAX_IMG_CHARACTERS + MAX_OTHERS_BYTES, LINE_BREAKS))
        self._form = Form({name.encode(): most for name, most in kept.items()})
        self._images = images
        self._texts = known.texts
        self._charset = charset
        self._sent = 0

    @property
    def size(self) -> int:
        return self._form.size

    def feed(self, piece: bytes) -> None:
        self._sent += len(piece)
        self._form.feed(piece)

    def parameters(self) -> Parameters:
        parameters = Parameters()
        pairs = self._form.close()
        charset = _named_by_field(pairs, self._charset)
        for written, value in pairs:
            name = charsets.text(written, charset, "a parameter's name")
            if name in self._images:
                parameters.add_image(name, value)
            elif name in self._texts:
                parameters.add_text(name, value, charset)
        return parameters

    def others(self) -> int:
        first = {field.name: field for field in reversed(self._form.fields)}
        images = [first[name] for name in map(str.encode, self._images) if name in first]
        return self._sent - sum(len(field.name) + len(b"&=") + field.sent for field in images)


class _WholeBody:
    """A body of which nothing can be told before all of it has come. parse, others: of the body, which for `others` may
    be cut off.
    """

    def __init__(self, parse: Callable[[bytes], Parameters], others: Callable[[bytes], int]) -> None:
        self._body = bytearray()
        self._parse = parse
        self._others = others

    @property
    def size(self) -> int:
        return sys.getsizeof(self._body)

    def feed(self, piece: bytes) -> None:
        self._body += piece

    def parameters(self) -> Parameters:
        return self._parse(bytes(self._body))

    def others(self) -> int:
        return self._others(bytes(self._body))


def _others_of_json(body: bytes, images: Sequence[str]) -> int:
    """How much of a document, of which this is the beginning, is not in the images of these names. The pattern begins
    with bytes, not with an alternative: this is found 20 times faster.
    """
    for name in images:
        image = re.search(rb'"%s"\s*+:\s*+"' % name.encode(), body)
        if image is not None:
            end = body.find(b'"', image.end())
            body = body[: image.start()] + (body[end:] if end >= 0 else b"")
    return len(body)


def _too_large(images: Sequence[str], others: int) -> ContractError:
    """What is wrong with a body that is too large, of which so many bytes are in no image."""
    if not images:
        return BodyUnreadable("body is too large")
    if others <= MAX_OTHERS_BYTES:
        return ImageTooLarge()
    return BodyUnreadable(f"body is too large, all but {' and '.join(images)} may take {MAX_OTHERS_BYTES} bytes")


def parse_multipart(body: bytes, boundary: bytes, charset: Charset = UTF_8, known: FieldNames = KNOWN) -> Parameters:
    """multipart/form-data: images as they are or in base64, both with a filename or without."""
    parameters = Parameters()
    parts = multipart.parts(body, boundary, charset)
    charset = _named_by_field([(part.name.encode(), part.value) for part in parts], charset)
    for part in parts:
        if part.name in known.images:
            parameters.add_image(part.name, part.value, part.has_filename or resembles_image(part.value))
        elif part.name in known.texts:
            own = header_values.parse(part.content_type, "Content-Type of a part").parameters.get("charset")
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


def parse_json(body: bytes, charset: Charset = UTF_8, known: FieldNames = KNOWN) -> Parameters:
    """A JSON object of strings, images in base64; null is the same as left out."""
    parameters = Parameters()
    for name, value in json_object.pairs(body, charset):
        if (name not in known.images and name not in known.texts) or value is None:
            continue
        if not isinstance(value, str):
            raise InvalidRequest(f"{name} must be a string, but is {json_object.kind(value)}")
        try:
            written = value.encode()
        except UnicodeEncodeError:
            raise InvalidRequest(f"{name} has half of a surrogate pair") from None
        if name in known.images:
            parameters.add_image(name, written)
        else:
            parameters.add_text(name, written)
    return parameters
