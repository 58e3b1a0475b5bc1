"""multipart/form-data (RFC 7578) out of a body that is already read. Pure, and linear in its length."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from shared.errors import InvalidRequest

MAX_PARTS: Final = 64
"""Four would do; browsers and frameworks add tokens and hidden fields."""

MAX_HEADER_BYTES: Final = 8192
"""Of all headers of one part, as aiohttp allows for one header of a request."""

# RFC 2046, 5.1.1: 1 to 70 characters. Every client in use quotes no other characters than these.
_BOUNDARY: Final = re.compile(r""";\s*boundary=(?:"([^"\r\n]{1,70})"|([^\s;"]{1,70}))\s*(?:;|$)""", re.IGNORECASE)
_PADDING: Final = b" \t"

# Browsers write a quote inside a name as %22, others as \".
_NAME: Final = re.compile(rb';\s*name=(?:"((?:[^"\\]|\\.)*)"|([^\s;"]+))', re.IGNORECASE)
_FILENAME: Final = re.compile(rb";\s*filename\*?=", re.IGNORECASE)
_PLAIN_ENCODINGS: Final = (b"", b"7bit", b"8bit", b"binary")


@dataclass(frozen=True)
class Part:
    """One field. name: as sent, not yet decoded."""

    name: bytes
    value: bytes
    is_file: bool


def delimiter(content_type: str) -> bytes:
    """What stands before each part, by the header's boundary. Raises InvalidRequest without a valid one."""
    found = _BOUNDARY.search(content_type)
    if found is None:
        raise InvalidRequest("Content-Type multipart/form-data needs a boundary of 1 to 70 characters")
    return b"\r\n--" + (found[1] or found[2]).encode(errors="surrogateescape")


def parts(body: bytes, delimiter: bytes) -> Iterator[Part]:
    """The parts in order. Raises InvalidRequest when the body is no form-data, or one of enormous many or large parts.

    What comes before the first boundary and after the last is ignored, as RFC 2046 says.
    """
    pieces = (b"\r\n" + body).split(delimiter, MAX_PARTS + 1)
    if len(pieces) == 1:
        raise InvalidRequest("the boundary of Content-Type is nowhere in the body")
    for number, piece in enumerate(pieces[1:]):
        if piece.startswith(b"--"):
            return
        if number == MAX_PARTS:
            raise InvalidRequest(f"body has more than {MAX_PARTS} parts")
        yield _part(piece)
    raise InvalidRequest("body ends without its final boundary")


def _part(piece: bytes) -> Part:
    # The boundary's line may end in blanks. The search for the end of the headers may meet that line's own end.
    end = piece.find(b"\r\n\r\n", 0, MAX_HEADER_BYTES)
    if end < 0:
        raise InvalidRequest(f"a part's headers are longer than {MAX_HEADER_BYTES} bytes or have no end")
    first, *lines = piece[:end].split(b"\r\n")
    if first.strip(_PADDING):
        raise InvalidRequest("a part does not begin after its boundary's line")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)}
    disposition = headers.get(b"content-disposition", b"")
    name = _NAME.search(disposition)
    if name is None or not disposition.lower().startswith(b"form-data"):
        raise InvalidRequest("every part of a multipart body must be a named field")
    if headers.get(b"content-transfer-encoding", b"").lower() not in _PLAIN_ENCODINGS:
        raise InvalidRequest("Content-Transfer-Encoding is not supported, send the part as it is")
    if headers.get(b"content-type", b"").lower().startswith(b"multipart/"):
        raise InvalidRequest("a part may not hold parts of its own")
    return Part(
        name[1] if name[1] is not None else name[2], piece[end + 4 :], _FILENAME.search(disposition) is not None
    )
