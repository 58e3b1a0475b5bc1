"""Parsing multipart/form-data (RFC 7578) from a complete body. Pure, and linear in its length.

The library `multipart` finds the parts (decision 18). Their headers are parsed by gateway/body/header_values.py, as
those of requests are.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, TypeVar

from multipart import MultipartError, MultipartSegment, ParserLimitReached, PushMultipartParser

from gateway.body.charsets import UTF_8, Charset
from gateway.body.header_values import HeaderValue, parse
from shared.errors import InvalidRequest

MAX_PARTS: Final = 64
"""Four are used; browsers and frameworks add tokens and hidden fields."""

MAX_HEADERS: Final = 16
"""Most headers of a part; three are used."""

MAX_HEADER_BYTES: Final = 8192
"""Most bytes of all headers of a part, as in aiohttp for one header of a request."""

MAX_BOUNDARY_BYTES: Final = 70
"""RFC 2046, 5.1.1."""

_PLAIN_ENCODINGS: Final = ("", "7bit", "8bit", "binary")


T = TypeVar("T")


@dataclass(frozen=True)
class Part:
    """A part. has_filename: does not depend on the kind of its value. content_type: as sent, empty if there is none."""

    name: str
    value: bytes
    has_filename: bool
    content_type: str


def boundary(content_type: HeaderValue) -> bytes:
    """Return the boundary of a Content-Type. Raises InvalidRequest if there is no valid one."""
    found = content_type.parameters.get("boundary", "").encode(errors="surrogateescape")
    if not 1 <= len(found) <= MAX_BOUNDARY_BYTES or b"\r" in found or b"\n" in found:
        raise InvalidRequest(f"Content-Type multipart/form-data needs a boundary of 1 to {MAX_BOUNDARY_BYTES} bytes")
    return found


def parts(body: bytes, boundary: bytes, charset: Charset = UTF_8) -> list[Part]:
    """Return the parts in order. charset: of their headers. Raises InvalidRequest if the body is not form-data or has
    too many parts or headers.

    Anything before the first boundary and after the last is ignored (RFC 2046).
    """
    if b"--" + boundary not in body:
        raise InvalidRequest("the boundary of Content-Type is nowhere in the body")

    def read(body: bytes) -> list[Part]:
        parser = _parser(boundary)
        found: list[Part] = []
        for segment, value in _segments(parser, body):
            if len(found) == MAX_PARTS:
                raise InvalidRequest(f"body has more than {MAX_PARTS} parts")
            found.append(_part(segment, value, charset))
        try:
            parser.close()
        except MultipartError:
            raise InvalidRequest("body ends without its final boundary") from None
        return found

    try:
        return _unpadded_if_refused(read, body, boundary)
    except ParserLimitReached:
        raise InvalidRequest(_TOO_LONG) from None
    except MultipartError:
        raise InvalidRequest(_MALFORMED) from None


def bytes_of(names: frozenset[str], body: bytes, boundary: bytes) -> int:
    """Return the bytes in parts of these names, in a body that may be cut off; 0 if it is not form-data."""

    def read(body: bytes) -> int:
        found = _segments(_parser(boundary), body)
        return sum(len(value) for part, value in found if _disposition(part, UTF_8).parameters.get("name") in names)

    try:
        return _unpadded_if_refused(read, body, boundary)
    except (MultipartError, InvalidRequest):
        return 0


_TOO_LONG: Final = f"a part has headers of more than {MAX_HEADER_BYTES} bytes, or too many"
_MALFORMED: Final = (
    "multipart body is malformed; each part must have its headers, one to a line, after the line of its boundary"
)


class _Parser(PushMultipartParser):  # type: ignore[misc]  # the library publishes no types
    """Finds the parts without judging their headers."""

    def _create_segment(self, headerlist: list[tuple[str, str]]) -> MultipartSegment:
        return MultipartSegment(headerlist)


def _parser(boundary: bytes) -> _Parser:
    """Return a strict parser: it refuses folded headers, which would take time in the square of their length. As
    Latin-1 every byte of a header is one character.
    """
    return _Parser(
        boundary, max_header_size=MAX_HEADER_BYTES, max_header_count=MAX_HEADERS, header_charset="latin-1", strict=True
    )


def _segments(parser: _Parser, body: bytes) -> Iterator[tuple[MultipartSegment, bytes]]:
    """Yield the parts, including a last one that is cut off. Raises MultipartError."""
    segment: MultipartSegment | None = None
    chunks: list[bytes] = []
    for event in parser.parse(body):
        if isinstance(event, MultipartSegment):
            segment, chunks = event, []
        elif event:
            chunks.append(event)
        elif segment is not None:
            yield segment, b"".join(chunks)
            segment = None
    if segment is not None:
        yield segment, b"".join(chunks)


def _unpadded_if_refused(read: Callable[[bytes], T], body: bytes, boundary: bytes) -> T:
    """Return read(body). If that fails, retry without blanks after a boundary on its line, which RFC 2046 allows and
    the library refuses. The parts are unchanged: no line of a part may begin with the boundary. Raises MultipartError.
    """
    try:
        return read(body)
    except MultipartError:
        line = b"--" + boundary
        if line + b" " not in body and line + b"\t" not in body:
            raise
    # The pattern begins with literal bytes, not with an alternative or a lookbehind: 20 times faster.
    padded = re.escape(line) + b"(?<=\r\n" + re.escape(line) + b")[ \t]++(?=\r\n)"
    return read(re.sub(padded, lambda _: line, b"\r\n" + body, count=MAX_PARTS + 1))


def _part(segment: MultipartSegment, value: bytes, charset: Charset) -> Part:
    if sum(len(name) + len(text) for name, text in segment.headerlist) > MAX_HEADER_BYTES:
        raise InvalidRequest(_TOO_LONG)
    disposition = _disposition(segment, charset)
    name = disposition.parameters.get("name")
    if disposition.main != "form-data" or name is None:
        raise InvalidRequest("every part of a multipart body must be a named field; send form-data; name=img with it")
    if _header(segment, "Content-Transfer-Encoding", charset).strip().lower() not in _PLAIN_ENCODINGS:
        raise InvalidRequest("Content-Transfer-Encoding is not supported, send the part as it is")
    content_type = _header(segment, "Content-Type", charset)
    if content_type.lower().startswith("multipart/"):
        raise InvalidRequest("a part may not hold parts of its own")
    has_filename = not disposition.parameters.keys().isdisjoint(("filename", "filename*"))
    return Part(name, value, has_filename, content_type)


def _disposition(segment: MultipartSegment, charset: Charset) -> HeaderValue:
    return parse(_header(segment, "Content-Disposition", charset), "Content-Disposition")


def _header(segment: MultipartSegment, wanted: str, charset: Charset) -> str:
    """Return a header of a part, empty if absent. Undecodable bytes are replaced: no known value contains them."""
    found = [text for name, text in segment.headerlist if name == wanted]
    if len(found) > 1:
        raise InvalidRequest(f"a part has two headers {wanted}")
    return found[0].encode("latin-1").decode(charset.codec, "replace") if found else ""
