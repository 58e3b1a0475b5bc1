"""multipart/form-data (RFC 7578) out of a body that is already read. Pure, and linear in its length.

The library `multipart` finds the parts. What it makes of their headers is not used: gateway/body/header_values.py reads
those as it reads those of requests.
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
"""Four would do; browsers and frameworks add tokens and hidden fields."""

MAX_HEADERS: Final = 16
"""Of one part; three would do."""

MAX_HEADER_BYTES: Final = 8192
"""Of all headers of one part, as aiohttp allows for one header of a request."""

MAX_BOUNDARY_BYTES: Final = 70
"""RFC 2046, 5.1.1."""

_PLAIN_ENCODINGS: Final = ("", "7bit", "8bit", "binary")


T = TypeVar("T")


@dataclass(frozen=True)
class Part:
    """One field. has_filename says nothing of what it holds. content_type: as sent, empty for none."""

    name: str
    value: bytes
    has_filename: bool
    content_type: str


def boundary(content_type: HeaderValue) -> bytes:
    """What stands between the parts, by the header. Raises InvalidRequest without a valid one."""
    found = content_type.parameters.get("boundary", "").encode(errors="surrogateescape")
    if not 1 <= len(found) <= MAX_BOUNDARY_BYTES or b"\r" in found or b"\n" in found:
        raise InvalidRequest(f"Content-Type multipart/form-data needs a boundary of 1 to {MAX_BOUNDARY_BYTES} bytes")
    return found


def parts(body: bytes, boundary: bytes, charset: Charset = UTF_8) -> list[Part]:
    """The parts in order. charset: of their headers. Raises InvalidRequest when the body is no form-data, or one of
    enormous many or large parts.

    What comes before the first boundary and after the last is ignored, as RFC 2046 says.
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
    """How much of a body, of which this is the beginning, is in parts of these names; 0 when it is no form-data."""

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
    """Tells the parts apart, and leaves it to us what their headers must be."""

    def _create_segment(self, headerlist: list[tuple[str, str]]) -> MultipartSegment:
        return MultipartSegment(headerlist)


def _parser(boundary: bytes) -> _Parser:
    """Strict: a part's header that goes on in a second line is refused, which would cost the square of its length.
    Latin-1 gives each byte of a header back as it is.
    """
    return _Parser(
        boundary, max_header_size=MAX_HEADER_BYTES, max_header_count=MAX_HEADERS, header_charset="latin-1", strict=True
    )


def _segments(parser: _Parser, body: bytes) -> Iterator[tuple[MultipartSegment, bytes]]:
    """The parts, and of a last one that has no end what there is of it. Raises MultipartError."""
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
    """What is read of a body, if need be without blanks behind the boundary on its line, which RFC 2046 allows and the
    library refuses. Nothing of a part is changed: no part may have a line that begins so. Raises MultipartError.
    """
    try:
        return read(body)
    except MultipartError:
        line = b"--" + boundary
        if line + b" " not in body and line + b"\t" not in body:
            raise
    # It begins with bytes, not with an alternative or a look back, which is found 20 times faster.
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
    """One header of a part. What is not in the charset does no harm: nothing that is known has such characters."""
    found = [text for name, text in segment.headerlist if name == wanted]
    if len(found) > 1:
        raise InvalidRequest(f"a part has two headers {wanted}")
    return found[0].encode("latin-1").decode(charset.codec, "replace") if found else ""
