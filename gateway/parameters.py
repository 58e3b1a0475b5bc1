"""The parameters of each call: one model checks them here and documents them in gateway/openapi.py.

The description of a field completes "… must be", in the document as in the sentence that a caller gets.
"""

import uuid
from typing import Annotated, Final, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, WithJsonSchema

from gateway.images import decode_base64
from gateway.uploads import MAX_IMG_CHARACTERS, Parameters
from shared.contract import FACEDB, NAME
from shared.errors import InvalidRequest, PersonUnknown

# Line breaks and a data: prefix may come on top, so maxLength is documented only; the bytes behind it are measured.
Img = Annotated[
    bytes,
    Field(min_length=1, description="the base64 of a jpeg, png or bmp image of at most 2M"),
    WithJsonSchema({"type": "string", "contentEncoding": "base64", "minLength": 1, "maxLength": MAX_IMG_CHARACTERS}),
]
Name = Annotated[str | None, Field(pattern=rf"^{NAME.pattern}$", description="at most 128 letters and digits")]
Facedb = Annotated[str | None, Field(pattern=rf"^{FACEDB.pattern}$", description="1 to 64 letters, digits, - or _")]
PersonId = Annotated[
    # Text: what is no UUID is no INVALID_REQUEST but a face that does not exist, and is told so after facedb.
    str,
    Field(min_length=1, description="the person_id of an added face", json_schema_extra={"format": "uuid"}),
]


class _Parameters(BaseModel):
    """What all calls take. facedb None: the key's own default."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)


class AddFaceParameters(_Parameters):
    """img: the image, of any size and kind. name None: left out, which is not the same as empty."""

    img: Img
    name: Name = None
    facedb: Facedb = None


class SearchFaceParameters(_Parameters):
    """img: the image, of any size and kind."""

    img: Img
    facedb: Facedb = None


class DelFaceParameters(_Parameters):
    """person_id: text that may be no id at all."""

    person_id: PersonId
    facedb: Facedb = None

    def as_uuid(self) -> uuid.UUID:
        """The id. Raises PersonUnknown for what cannot be one: nobody was ever given it."""
        try:
            return uuid.UUID(self.person_id)
        except ValueError:
            raise PersonUnknown from None


M = TypeVar("M", bound=_Parameters)


def check(model: type[M], given: Parameters) -> M:
    """The parameters of a call. Raises InvalidRequest that says what is wrong with the first that is."""
    values: dict[str, str | bytes] = dict(given.text)
    if given.img is not None and "img" in model.model_fields:
        values["img"] = given.img if given.img_is_file else decode_base64(given.img)
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        name = str(first["loc"][0])
        what = "is missing or empty; it must be" if first["type"] in _NOTHING else "must be"
        raise InvalidRequest(f"{name} {what} {model.model_fields[name].description}") from None


_NOTHING: Final = frozenset({"missing", "string_too_short", "bytes_too_short"})
