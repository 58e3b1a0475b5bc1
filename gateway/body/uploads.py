"""Reading a request body, bounded, and parsing it as a form, multipart or JSON into one set of parameters.

A parameter in the query string is refused, since every log on the way would show it; unknown ones there and in the body
are ignored. The charset of a text is that of its part's Content-Type, else that of the form's field `_charset_`, else
that of the body's Content-Type, else UTF-8.
"""

import re
import sys
from collections.abc import Callable, Collection, Iterable, Sequence
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
"""Most bytes of everything but the images in a body of the maximum size."""

KNOWN: Final = field_names(CALLS)
"""The parameters of the API's calls. One that another call takes is read, and ignored later."""

_CHARSET: Final = "_charset_"
"""The form field in which browsers name the charset that they used (HTML, 4.10.22; RFC 7578, 4.6)."""


def max_body_bytes(images: int) -> int:
    """Return the bytes of the largest valid form with that many images: every base64 character percent-encoded, and
    MAX_OTHERS_BYTES for the rest.
    """
    return images * 3 * MAX_IMG_CHARACTERS + MAX_OTHERS_BYTES


@dataclass
class Parameters:
    """The parameters of a request of any content type.

    text: parameters other than images. images: as sent. files: names of images that need not be base64, since they were
    sent as files or begin as an image does.
    """

    text: dict[str, str] = field(default_factory=dict)
    images: dict[str, bytes] = field(default_factory=dict)
    files: set[str] = field(default_factory=set)

    def add_image(self, name: str, value: bytes, is_file: bool = False) -> None:
        """Add an image. Raises InvalidRequest if the name is taken."""
        self._require_new(name)
        self.images[name] = value
        if is_file:
            self.files.add(name)

    def add_text(self, name: str, value: bytes, charset: Charset = UTF_8) -> None:
        """Add another parameter. Raises InvalidRequest if the name is taken, and for a value that is not text in its
        charset, is longer than MAX_OTHERS_BYTES or contains a NUL.
        """
        self._require_new(name)
        if len(value) > MAX_OTHERS_BYTES:
            raise InvalidRequest(f"{name} is longer than {MAX_OTHERS_BYTES} bytes")
        self.text[name] = charsets.decode(value, charset, name)
        if "\0" in self.text[name]:
            raise InvalidRequest(f"{name} has a NUL character")

    def _require_new(self, name: str) -> None:
        if name in self.text or name in self.images:
            raise InvalidRequest(f"{name} is given twice")


async def read(
    request: web.Request,
    *images: str,
    known: FieldNames = KNOWN,
    removable: Collection[str] = (),
    hold: Callable[[int], None] = lambda _size: None,
) -> Parameters:
    """Return the parameters of a request. images: the names of the call's image parameters; where it has none, the body
    may be as large as with one, which is ignored. known: the parameters of all calls. removable: those for which null
    in JSON is an empty text. hold: is called with the number of bytes that are held as the body arrives; an error that
    it raises ends the reading.

    Raises InvalidRequest, or ImageTooLarge when only an image can be the cause.
    """
    _require_no_query(request, known)
    body = _body(request, images, known, removable)
    limit = max_body_bytes(len(images) or 1)

    def take(piece: bytes) -> None:
        body.feed(piece)
        hold(body.size)

    if await receive(request, limit, take) > limit:
        raise _too_large(images, body.other_bytes())
    return body.parameters()


def _require_no_query(request: web.Request, known: FieldNames) -> None:
    for name in (*known.images, *known.texts) if request.query_string else ():
        if name in request.query:
            raise InvalidRequest(f"{name} belongs in the body, not in the query string")


class _Body(Protocol):
    """An incremental parser of a body of one content type."""

    @property
    def size(self) -> int:
        """Bytes of memory that it holds."""

    def feed(self, piece: bytes) -> None:
        """Parse the next piece."""

    def parameters(self) -> Parameters:
        """Return the parameters of the complete body."""

    def other_bytes(self) -> int:
        """Return how many of the bytes received so far are not in the call's images."""


def _body(request: web.Request, images: Sequence[str], known: FieldNames, removable: Collection[str]) -> _Body:
    """Return the body of the request's content type. images, removable: as for `read`."""
    content_type = header_values.parse(request.headers.get("Content-Type", ""), "Content-Type")
    label = content_type.parameters.get("charset")
    charset = charsets.lookup(label, "Content-Type") if label else UTF_8
    match content_type.main:
        case "application/x-www-form-urlencoded":
            return _FormBody(images, charset, known)
        case "application/json":
            return _WholeBody(
                lambda body: parse_json(body, charset, known, removable),
                lambda body: _other_bytes_of_json(body, images),
            )
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
    """A form, decoded as it arrives, since it is up to three times as long encoded. Images are in base64."""

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
        charset = _form_charset(pairs, self._charset)
        for written, value in pairs:
            name = charsets.decode(written, charset, "a parameter's name")
            if name in self._images:
                parameters.add_image(name, value)
            elif name in self._texts:
                parameters.add_text(name, value, charset)
        return parameters

    def other_bytes(self) -> int:
        first = {field.name: field for field in reversed(self._form.fields)}
        images = [first[name] for name in map(str.encode, self._images) if name in first]
        return self._sent - sum(len(field.name) + len(b"&=") + field.sent for field in images)


class _WholeBody:
    """A body that is parsed once it is complete. parse: returns its parameters. other_bytes: see _Body, of a body that
    may be cut off.
    """

    def __init__(self, parse: Callable[[bytes], Parameters], other_bytes: Callable[[bytes], int]) -> None:
        self._body = bytearray()
        self._parse = parse
        self._other_bytes = other_bytes

    @property
    def size(self) -> int:
        return sys.getsizeof(self._body)

    def feed(self, piece: bytes) -> None:
        self._body += piece

    def parameters(self) -> Parameters:
        return self._parse(bytes(self._body))

    def other_bytes(self) -> int:
        return self._other_bytes(bytes(self._body))


def _other_bytes_of_json(body: bytes, images: Sequence[str]) -> int:
    """Return how many bytes of a document that may be cut off are not in images of these names. The pattern begins with
    literal bytes, not with an alternative, which makes it 20 times faster.
    """
    for name in images:
        image = re.search(rb'"%s"\s*+:\s*+"' % name.encode(), body)
        if image is not None:
            end = body.find(b'"', image.end())
            body = body[: image.start()] + (body[end:] if end >= 0 else b"")
    return len(body)


def _too_large(images: Sequence[str], others: int) -> ContractError:
    """Return the error for a body that is too large. others: how many of its bytes are in no image."""
    if not images:
        return BodyUnreadable("body is too large")
    if others <= MAX_OTHERS_BYTES:
        return ImageTooLarge()
    return BodyUnreadable(f"body is too large, all but {' and '.join(images)} may take {MAX_OTHERS_BYTES} bytes")


def parse_multipart(body: bytes, boundary: bytes, charset: Charset = UTF_8, known: FieldNames = KNOWN) -> Parameters:
    """Parse multipart/form-data. An image is a file or base64, with or without a filename. Raises InvalidRequest."""
    parameters = Parameters()
    parts = multipart.parts(body, boundary, charset)
    charset = _form_charset([(part.name.encode(), part.value) for part in parts], charset)
    for part in parts:
        if part.name in known.images:
            parameters.add_image(part.name, part.value, part.has_filename or resembles_image(part.value))
        elif part.name in known.texts:
            own = header_values.parse(part.content_type, "Content-Type of a part").parameters.get("charset")
            parameters.add_text(
                part.name, part.value, charsets.lookup(own, f"the part {part.name}") if own else charset
            )
    return parameters


def _form_charset(pairs: Iterable[tuple[bytes, bytes]], charset: Charset) -> Charset:
    """Return the charset that a form names in its field `_charset_`, else the given one. Scripts that send the field
    often leave it empty.
    """
    labels = {value for name, value in pairs if name == _CHARSET.encode()} - {b""}
    if len(labels) > 1:
        raise InvalidRequest(f"{_CHARSET} is given twice")
    return charsets.lookup(labels.pop().decode("latin-1"), _CHARSET) if labels else charset


def parse_json(
    body: bytes, charset: Charset = UTF_8, known: FieldNames = KNOWN, removable: Collection[str] = ()
) -> Parameters:
    """Parse a JSON object of strings, images in base64; a parameter that is a number may be one here, too, one that is
    an object must be one, and null means left out, or an empty text for one that is removable. Raises InvalidRequest.
    """
    parameters = Parameters()
    for name, sent in json_object.pairs(body, charset):
        value = "" if sent is None and name in removable else sent
        if (name not in known.images and name not in known.texts) or value is None:
            continue
        text = value
        if isinstance(value, json_object.Number) and name in known.numbers:
            text = value.text
        elif name in known.objects and sent is not None:
            if not json_object.is_object(value):
                raise InvalidRequest(f"{name} must be an object")
            text = json_object.written(value)
        if not isinstance(text, str):
            raise InvalidRequest(f"{name} must be a string, but is {json_object.kind(value)}")
        try:
            written = text.encode()
        except UnicodeEncodeError:
            raise InvalidRequest(f"{name} has half of a surrogate pair") from None
        if name in known.images:
            parameters.add_image(name, written)
        else:
            parameters.add_text(name, written)
    return parameters
