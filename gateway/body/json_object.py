"""A JSON object (RFC 8259) as its pairs. Pure, and bounded in what it makes of a body."""

import codecs
import json
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from gateway.body.charsets import UTF_8, Charset, text
from shared.errors import InvalidRequest

MAX_COMMAS: Final = 1000
"""Base64 has none, so they bound how many values a body makes: an empty list is 3 bytes of JSON and 64 of memory."""


@dataclass(frozen=True)
class _Object:
    """An object with all its pairs: a dict would forget the first of two equal names."""

    pairs: list[tuple[str, Any]]


def pairs(body: bytes, charset: Charset = UTF_8) -> list[tuple[str, Any]]:
    """The object's names and values in order. A string is a str and null is None; of other values only the kind is
    told, see `kind`.

    The body is UTF-8, with or without a byte order mark, where no other charset is named. Raises InvalidRequest when it
    is no JSON object.
    """
    if len(body.split(b",", MAX_COMMAS)) > MAX_COMMAS:
        raise InvalidRequest(f"body has more than {MAX_COMMAS} values")
    # Most bodies in any charset are ASCII, which is decoded 20 times faster as what it is.
    written = text(body.removeprefix(codecs.BOM_UTF8), UTF_8 if body.isascii() else charset, "body")
    try:
        document = _DECODER.decode(written)
    except (ValueError, RecursionError):
        raise InvalidRequest("body is not JSON") from None
    if not isinstance(document, _Object):
        raise InvalidRequest("body must be a JSON object")
    return document.pairs


def kind(value: object) -> str:
    """What a value that is no string and not null is, and what to do about it if that helps."""
    if isinstance(value, _Object | list):
        return "a list" if isinstance(value, list) else "an object"
    return f"{'true or false' if isinstance(value, bool) else 'a number'}; write it in quotes"


def _no_number(_text: str) -> float:
    """No parameter is a number, so none is worked out, however many digits it has."""
    return 0.0


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_Object, parse_int=_no_number, parse_float=_no_number, parse_constant=_no_constant
)
