"""Request bodies: read bounded, then form-urlencoded, multipart or JSON into one set of parameters."""

import json
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote_to_bytes

from aiohttp import BodyPartReader, web

from shared.contract import MAX_IMAGE_BYTES
from shared.errors import ImageTooLarge, InvalidRequest

_BASE64_BYTES: Final = -(-MAX_IMAGE_BYTES // 3) * 4
MAX_BODY_BYTES: Final = 3 * _BASE64_BYTES + 64 * 1024
"""The largest form that can be valid: every base64 character percent-encoded, and room for the rest."""

_KNOWN: Final = ("img", "name", "facedb", "person_id")


@dataclass
class Parameters:
    """What a request carries, whatever its content type.

    text: parameters other than the image. img: as sent, None when missing; img_is_file: the image itself, no base64.
    """

    text: dict[str, str] = field(default_factory=dict)
    img: bytes | None = None
    img_is_file: bool = False

    def add(self, name: str, value: bytes, is_file: bool = False) -> None:
        """Take a parameter once; unknown ones are ignored. Raises InvalidRequest on a second one or on broken UTF-8."""
        if name not in _KNOWN:
            return
        if name in self.text or (name == "img" and self.img is not None):
            raise InvalidRequest(f"{name} is given twice")
        if name == "img":
            self.img, self.img_is_file = value, is_file
            return
        try:
            self.text[name] = value.decode()
        except UnicodeDecodeError:
            raise InvalidRequest(f"{name} is not UTF-8") from None


async def read(request: web.Request) -> Parameters:
    """The parameters of a request. Raises InvalidRequest, or ImageTooLarge when only the image can be the cause."""
    match request.content_type:
        case "application/x-www-form-urlencoded":
            return parse_form(await _body(request))
        case "application/json":
            return parse_json(await _body(request))
        case "multipart/form-data":
            return await _read_multipart(request)
        case _:
            raise InvalidRequest(
                "Content-Type must be application/x-www-form-urlencoded, multipart/form-data or application/json"
            )


async def _body(request: web.Request) -> bytes:
    if (request.content_length or 0) > MAX_BODY_BYTES:
        raise ImageTooLarge
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise ImageTooLarge
    return bytes(body)


def parse_form(body: bytes) -> Parameters:
    """application/x-www-form-urlencoded (WHATWG URL, 5.1)."""
    parameters = Parameters()
    for pair in body.split(b"&"):
        name, _, value = pair.partition(b"=")
        parameters.add(_unquote(name).decode(errors="replace"), _unquote(value))
    return parameters


def _unquote(value: bytes) -> bytes:
    """Percent-decoding. Base64 has only three characters that forms encode: replacing these leaves nothing to the
    general decoder, which is 20 times slower.
    """
    value = value.replace(b"+", b" ")
    if b"%" not in value:
        return value
    value = value.replace(b"%2B", b"+").replace(b"%2F", b"/").replace(b"%3D", b"=")
    return unquote_to_bytes(value) if b"%" in value else value


def parse_json(body: bytes) -> Parameters:
    """A JSON object of strings; null is the same as left out."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise InvalidRequest("body is not JSON") from None
    if not isinstance(document, dict):
        raise InvalidRequest("body must be a JSON object")
    parameters = Parameters()
    for name, value in document.items():
        if name not in _KNOWN or value is None:
            continue
        if not isinstance(value, str):
            raise InvalidRequest(f"{name} must be a string")
        parameters.add(name, value.encode(errors="replace"))
    return parameters


async def _read_multipart(request: web.Request) -> Parameters:
    """multipart/form-data (RFC 7578): img as a file or as base64."""
    parameters = Parameters()
    left = MAX_BODY_BYTES
    try:
        reader = await request.multipart()
        while (part := await reader.next()) is not None:
            if not isinstance(part, BodyPartReader) or part.name is None:
                raise InvalidRequest("every part of a multipart body must be a named field")
            value = await _read_part(part, left)
            left -= len(value)
            parameters.add(part.name, value, is_file=part.filename is not None)
    except ValueError:
        raise InvalidRequest("body is not multipart/form-data") from None
    return parameters


async def _read_part(part: BodyPartReader, limit: int) -> bytes:
    value = bytearray()
    while chunk := await part.read_chunk():
        value += chunk
        if len(value) > limit:
            if part.name == "img":
                raise ImageTooLarge
            raise InvalidRequest("body is too large")
    return bytes(value)
