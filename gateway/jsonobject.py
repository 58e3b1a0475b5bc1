"""A JSON object (RFC 8259) as its pairs. Pure, and bounded in what it makes of a body."""

import codecs
import json
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from shared.errors import InvalidRequest

MAX_COMMAS: Final = 1000
"""Base64 has none, so they bound how many values a body makes: an empty list is 3 bytes of JSON and 64 of memory."""


@dataclass(frozen=True)
class _Object:
    """An object with all its pairs: a dict would forget the first of two equal names."""

    pairs: list[tuple[str, Any]]


def pairs(body: bytes) -> list[tuple[str, Any]]:
    """The object's names and values in order. A string is a str and null is None; what other values are is not told.

    The body is UTF-8, with or without a byte order mark. Raises InvalidRequest when it is no JSON object.
    """
    if len(body.split(b",", MAX_COMMAS)) > MAX_COMMAS:
        raise InvalidRequest(f"body has more than {MAX_COMMAS} values")
    try:
        document = _DECODER.decode(body.removeprefix(codecs.BOM_UTF8).decode())
    except (ValueError, RecursionError):
        raise InvalidRequest("body is not JSON") from None
    if not isinstance(document, _Object):
        raise InvalidRequest("body must be a JSON object")
    return document.pairs


def _no_number(_text: str) -> float:
    """No parameter is a number, so none is worked out, however many digits it has."""
    return 0.0


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_Object, parse_int=_no_number, parse_float=_no_number, parse_constant=_no_constant
)
