"""Persons as callers see them: the objects of their answers, and the rules for what may be attached to a person.

A person has one or more faces that were added, a name and what its caller attached to it: an id of the caller's own
and metadata.
"""

import json
import re
from typing import Annotated, Any, Final, NoReturn, NotRequired

from pydantic import Field, WithJsonSchema
from typing_extensions import TypedDict  # pydantic takes no other before Python 3.12

MAX_PERSONS: Final = 100
"""Most persons in one answer. With metadata of the largest size that is half a megabyte, which passes the broker."""

EXTERNAL_ID: Final = r"[!-~]{1,128}"
"""The pattern of a caller's own id: visible ASCII without spaces, as in UUIDs, numbers and tokens."""

MAX_FACES: Final = 100
"""Most faces of one person. More change its mean little: a hundredth of it is the hundredth face."""

MAX_METADATA_BYTES: Final = 4096
"""Most bytes of metadata, as compact JSON in UTF-8."""

MAX_METADATA_LEVELS: Final = 16
"""Most levels of metadata, its own among them. Parsers of callers go no deeper than some dozens."""

PersonId = Annotated[str, WithJsonSchema({"type": "string", "format": "uuid"})]

Added = Annotated[
    str | None, WithJsonSchema({"type": ["string", "null"], "format": "date-time", "description": "RFC 3339, UTC"})
]
"""When a person was added; None for one that a release without times added."""

Metadata = Annotated[dict[str, Any], WithJsonSchema({"type": "object"})]

_Count = Annotated[int, Field(ge=0)]


class FaceQuality(TypedDict):
    """How a face is shown in its photo, as far as it was measured; the order of keys is the order in the JSON. size:
    side of the face in pixels. sharpness: about 0.8, blurred 0.4. dark, bright: parts of the face, 0 to 1, that are
    black, and white. yaw, pitch: degrees from facing the camera, to the right and down of the photo.
    """

    size: Annotated[float, Field(ge=0)]
    sharpness: Annotated[float, Field(ge=0)]
    dark: Annotated[float, Field(ge=0, le=1)]
    bright: Annotated[float, Field(ge=0, le=1)]
    yaw: float
    pitch: float


class Person(TypedDict):
    """A person; the order of keys is the order in the JSON. added: None for a face that a release without times added.
    external_id, metadata: left out where there are none. faces: how many of its faces are stored.
    """

    person_id: PersonId
    name: str
    added: Added
    external_id: NotRequired[str]
    metadata: NotRequired[Metadata]
    faces: Annotated[int, Field(ge=1)]


class FaceOfPerson(TypedDict):
    """One of the faces of a person. face_id: of the first face it is the person_id. quality: None for a face that a
    release without it added.
    """

    face_id: PersonId
    added: Added
    quality: FaceQuality | None


class PersonWithFaces(TypedDict):
    """A person as in Person, with its faces in place of their number: the one that was added first comes first."""

    person_id: PersonId
    name: str
    added: Added
    external_id: NotRequired[str]
    metadata: NotRequired[Metadata]
    faces: Annotated[list[FaceOfPerson], Field(min_length=1, max_length=MAX_FACES)]


class PersonDetails(TypedDict):
    """What details of a face say of its person, as in Person."""

    added: Added
    external_id: NotRequired[str]
    metadata: NotRequired[Metadata]
    faces: int


class PersonPage(TypedDict):
    """A part of a list of persons. next: the cursor of the part after it, None at the end."""

    persons: Annotated[list[Person], Field(max_length=MAX_PERSONS)]
    next: Annotated[
        str | None,
        WithJsonSchema({"type": ["string", "null"], "description": "`after` of the next request; null at the end"}),
    ]


class CountedFacedb(TypedDict):
    """A face database with the number of its persons and faces. default: whether requests that name none mean it."""

    facedb: str
    persons: _Count
    faces: _Count
    default: bool


def is_external_id(text: str) -> bool:
    """Return whether all of the text is what EXTERNAL_ID describes. Raises TypeError if it is no text."""
    return re.fullmatch(EXTERNAL_ID, text) is not None


def compact_metadata(text: str) -> str:
    """Return metadata as compact JSON, with the keys in their order and characters as they are.

    Raises ValueError unless it is a JSON object (RFC 8259) whose keys differ, whose numbers are finite, with at most
    MAX_METADATA_BYTES bytes in that form and MAX_METADATA_LEVELS levels.
    """
    try:
        found = json.loads(text, object_pairs_hook=_object, parse_constant=_no_constant, parse_float=_finite)
        compact = json.dumps(found, ensure_ascii=False, separators=(",", ":"))
        size = len(compact.encode())
    except RecursionError:
        raise ValueError("too deep") from None
    if not isinstance(found, dict) or size > MAX_METADATA_BYTES or _levels(found) > MAX_METADATA_LEVELS:
        raise ValueError("no object, too large or too deep")
    return compact


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is given twice")
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError("a number is too large")
    return number


def _levels(value: object) -> int:
    """Return how many lists and objects are in each other, the value itself among them."""
    levels, level = 0, [value]
    while level := [held for held in level if isinstance(held, dict | list)]:
        levels += 1
        level = [item for held in level for item in (held.values() if isinstance(held, dict) else held)]
    return levels
