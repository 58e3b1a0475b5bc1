"""Parameter rules: every function returns a valid value or raises InvalidRequest that says what is wrong."""

import uuid

from gateway.images import decode_base64
from gateway.uploads import Parameters
from shared.contract import FACEDB, NAME
from shared.errors import InvalidRequest, PersonUnknown


def image(parameters: Parameters) -> bytes:
    """The bytes of `img`, of any size and kind."""
    if parameters.img is None:
        raise InvalidRequest("img is missing; it must be the base64 of a jpeg, png or bmp image")
    if not parameters.img_is_file:
        return decode_base64(parameters.img)
    if not parameters.img:
        raise InvalidRequest("img is an empty file")
    return parameters.img


def name(parameters: Parameters) -> str | None:
    """`name`: None when left out, which is not the same as empty."""
    value = parameters.text.get("name")
    if value is not None and NAME.fullmatch(value) is None:
        raise InvalidRequest("name must be at most 128 letters and digits")
    return value


def facedb(parameters: Parameters) -> str | None:
    """`facedb`: None when left out, which means the key's own default."""
    value = parameters.text.get("facedb")
    if value is not None and FACEDB.fullmatch(value) is None:
        raise InvalidRequest("facedb must be 1 to 64 letters, digits, - or _")
    return value


def person_id(parameters: Parameters) -> str:
    """`person_id` as text; whether it can be an id is for `as_uuid`, since facedb is checked in between."""
    value = parameters.text.get("person_id")
    if not value:
        raise InvalidRequest("person_id is missing")
    return value


def as_uuid(value: str) -> uuid.UUID:
    """The id. Raises PersonUnknown for what cannot be one: nobody was ever given it."""
    try:
        return uuid.UUID(value)
    except ValueError:
        raise PersonUnknown from None
