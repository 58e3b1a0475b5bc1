"""The parameters that calls take: their types, and what the models of all calls have in common.

The description of a field completes "… must be", in the OpenAPI document and in the sentence that a caller gets.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema
from pydantic.config import JsonDict

from shared.contract import (
    FACEDB,
    FREE_NAME,
    LONGEST_NAME,
    MAX_IMG_CHARACTERS,
    MAX_MATCHES,
    MIN_CONFIDENCE,
    NAME,
    Faces,
    SearchedFaces,
)
from shared.control import DEFAULT
from shared.errors import InvalidRequest
from shared.persons import (
    EXTERNAL_ID,
    MAX_METADATA_BYTES,
    MAX_METADATA_LEVELS,
    MAX_PERSONS,
    compact_metadata,
)


def _as_written(text: str) -> str:
    """Return the text of a number. Raises ValueError unless it is written as in JSON (RFC 8259, 6), in few digits."""
    if re.fullmatch(r"-?[0-9]{1,20}(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?", text) is None:
        raise ValueError("not a number")
    return text


_EXTERNAL_ID_RULE = "1 to 128 visible ASCII characters without spaces"
_METADATA_RULE = (
    f"a JSON object of at most {MAX_METADATA_BYTES:,} bytes and {MAX_METADATA_LEVELS} levels, with different keys and "
    "finite numbers"
)

_JSON_TEXT: Final[JsonDict] = {"contentMediaType": "application/json"}

PERSON_ID_EXAMPLE = "4fbd9474-e09f-4e7d-9a2f-06fa1167f67e"

# Line breaks and a data: prefix may come on top, so maxLength is documented only; the bytes behind it are measured.
Img = Annotated[
    bytes,
    Field(min_length=1, description="the base64 of a jpeg, png or bmp image of at most 2M"),
    WithJsonSchema({"type": "string", "contentEncoding": "base64", "minLength": 1, "maxLength": MAX_IMG_CHARACTERS}),
]
Name = Annotated[
    str | None,
    Field(pattern=rf"^{NAME.pattern}$", description="at most 128 letters and digits", examples=["Grace"]),
]
FreeName = Annotated[
    str | None,
    Field(
        pattern=FREE_NAME,
        max_length=LONGEST_NAME,
        description="at most 128 printable characters",
        examples=["Grace"],
    ),
    # Without the pattern: many tools read those of a document with regular expressions that do not know \\p.
    WithJsonSchema({"type": "string", "maxLength": LONGEST_NAME}),
]
# Libraries send an empty text for an optional field that was not filled in: the same as left out.
Facedb = Annotated[
    str | None,
    Field(
        pattern=rf"^({FACEDB.pattern})?$",
        description="1 to 64 letters, digits, - or _",
        # What every tenant has: tools that try a document out fill in something for a parameter without an example.
        examples=[DEFAULT],
    ),
    AfterValidator(lambda facedb: facedb or None),
]
# An empty text is not the default: a caller who asks for one face must not add all because its value got lost.
WhichFaces = Annotated[
    Faces,
    Field(
        description=f"{', '.join(list(Faces)[:-1])} or {list(Faces)[-1]}",
        examples=[Faces.ALL.value],
        exclude_if=lambda faces: faces is Faces.ALL,
    ),
    WithJsonSchema({"type": "string", "enum": [each.value for each in Faces]}),
]
Unique = Annotated[
    float | None,
    Field(ge=MIN_CONFIDENCE, le=100),
    BeforeValidator(_as_written),
    Field(
        description=f"a number from {MIN_CONFIDENCE} to 100",
        examples=[95],
        exclude_if=lambda confidence: confidence is None,
    ),
]
WhichSearched = Annotated[
    SearchedFaces,
    Field(
        description=" or ".join(SearchedFaces),
        examples=[SearchedFaces.LARGEST.value],
        exclude_if=lambda faces: faces is SearchedFaces.LARGEST,
    ),
    WithJsonSchema({"type": "string", "enum": [each.value for each in SearchedFaces]}),
]
Details = Annotated[
    int,
    Field(ge=0, le=1),
    BeforeValidator(_as_written),
    Field(description="0 or 1", examples=[0], exclude_if=lambda details: not details),
]
# An empty text is not the default here either: a caller who asks for less must not get more because a value got lost.
Limit = Annotated[
    int,
    Field(ge=1, le=MAX_MATCHES),
    BeforeValidator(_as_written),
    Field(
        description=f"a whole number from 1 to {MAX_MATCHES}",
        examples=[MAX_MATCHES],
        exclude_if=lambda limit: limit == MAX_MATCHES,
    ),
]
LeastConfidence = Annotated[
    float,
    Field(ge=0, le=100),
    BeforeValidator(_as_written),
    Field(
        description="a number from 0 to 100",
        examples=[MIN_CONFIDENCE],
        exclude_if=lambda confidence: confidence == MIN_CONFIDENCE,
    ),
]
PersonId = Annotated[
    # Text that is no UUID is no INVALID_REQUEST but a face that does not exist, which is checked after facedb.
    str,
    Field(
        min_length=1,
        description="the person_id of an added face",
        examples=[PERSON_ID_EXAMPLE],
        json_schema_extra={"format": "uuid"},
    ),
]
LikePerson = Annotated[
    # Empty as left out, since img is required then.
    str | None,
    AfterValidator(lambda person_id: person_id or None),
    Field(
        description="in place of img, the person_id of an added person",
        examples=[PERSON_ID_EXAMPLE],
        exclude_if=lambda person_id: person_id is None,
        json_schema_extra={"format": "uuid"},
    ),
]
GivenPersonId = Annotated[
    # An empty text is not the same as left out: a new person must not be made because a value got lost.
    str | None,
    Field(
        min_length=1,
        description="the person_id of a person",
        examples=[PERSON_ID_EXAMPLE],
        json_schema_extra={"format": "uuid"},
        exclude_if=lambda person_id: person_id is None,
    ),
]
FaceId = Annotated[
    str,
    Field(
        min_length=1,
        description="the face_id of a face of the person",
        examples=[PERSON_ID_EXAMPLE],
        json_schema_extra={"format": "uuid"},
    ),
]
ExternalId = Annotated[
    str | None,
    Field(
        pattern=rf"^{EXTERNAL_ID}$",
        description=_EXTERNAL_ID_RULE,
        examples=["employee-4711"],
        exclude_if=lambda external_id: external_id is None,
    ),
]
NewExternalId = Annotated[
    # As a change: an empty text removes it.
    str | None,
    Field(
        pattern=rf"^({EXTERNAL_ID})?$",
        description=f"{_EXTERNAL_ID_RULE}, or empty to remove it",
        examples=["employee-4711"],
    ),
]
Metadata = Annotated[
    str | None,
    AfterValidator(lambda text: None if text is None else compact_metadata(text)),
    Field(
        description=_METADATA_RULE,
        examples=['{"floor": 3}'],
        json_schema_extra=_JSON_TEXT,
        exclude_if=lambda metadata: metadata is None,
    ),
]
NewMetadata = Annotated[
    # As a change: an empty text removes it.
    str | None,
    AfterValidator(lambda text: text and compact_metadata(text)),
    Field(
        description=f"{_METADATA_RULE}, or empty to remove it",
        examples=['{"floor": 3}'],
        json_schema_extra=_JSON_TEXT,
    ),
]
WantedName = Annotated[
    # Whatever names are allowed now: others may have been before.
    str | None,
    Field(
        max_length=LONGEST_NAME,
        description=f"at most {LONGEST_NAME} characters",
        examples=["Grace"],
        exclude_if=lambda name: name is None,
    ),
]
PageSize = Annotated[
    int,
    Field(ge=1, le=MAX_PERSONS),
    BeforeValidator(_as_written),
    Field(description=f"a whole number from 1 to {MAX_PERSONS}", examples=[MAX_PERSONS]),
]
Cursor = Annotated[
    str | None,
    Field(
        pattern=r"^[A-Za-z0-9_-]{1,128}$",
        description="the next of the answer before, as it was given",
        exclude_if=lambda after: after is None,
    ),
]


class CallParameters(BaseModel):
    """The checked parameters of a call; every field of bytes is an image.

    A model for a job about a face database has a field `facedb`, in which None means the key's own default.
    """

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)
    image_parameters: ClassVar[tuple[str, ...]] = ()
    """Names of the fields that are images, in their order."""
    object_parameters: ClassVar[frozenset[str]] = frozenset()
    """Names of the fields that are objects: their JSON as text in a form, themselves in JSON."""
    removable: ClassVar[frozenset[str]] = frozenset()
    """Names of the fields in which an empty text, and null in JSON, removes what is there."""

    @classmethod
    def __pydantic_init_subclass__(cls, **_kwargs: Any) -> None:
        cls.image_parameters = tuple(name for name, field in cls.model_fields.items() if field.annotation is bytes)
        cls.object_parameters = frozenset(
            name for name, field in cls.model_fields.items() if field.json_schema_extra == _JSON_TEXT
        )

    @property
    def encoded(self) -> tuple[bytes, ...]:
        """The given images as their encoded bytes, in the order of the fields."""
        return tuple(image for name in self.image_parameters if (image := getattr(self, name)))

    @property
    def compares(self) -> bool:
        """Whether faces are compared with those of the face database, so that its calibration is needed."""
        return False

    def job_fields(self) -> dict[str, Any]:
        """Return the fields that only this call's job has, as JSON values: all but the images and facedb.

        May raise a ContractError for a value that is known to have no effect.
        """
        return self.model_dump(mode="json", exclude={"facedb", *self.image_parameters})


P = TypeVar("P", bound=CallParameters)

_MISSING: Final = "is missing or empty; it must be"

_NOTHING: Final = frozenset({"missing", "string_too_short", "bytes_too_short"})
"""The types of pydantic's errors for a parameter that is missing or empty."""


def checked(model: type[P], values: Mapping[str, str | bytes]) -> P:
    """Return the parameters of a call. values: as they were sent, images decoded. Raises InvalidRequest with the flaw
    of the first invalid one.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        wrong = str(first["loc"][0])
        what = _MISSING if first["type"] in _NOTHING else "must be"
        raise InvalidRequest(_sentence(model, wrong, what)) from None


def missing(model: type[CallParameters], name: str) -> InvalidRequest:
    """Return the error for a parameter that is missing or empty."""
    return InvalidRequest(_sentence(model, name, _MISSING))


def _sentence(model: type[CallParameters], name: str, what: str) -> str:
    return f"{name} {what} {model.model_fields[name].description}"
