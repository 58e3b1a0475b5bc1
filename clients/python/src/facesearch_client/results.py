"""The results of calls. Fields that a newer service adds are ignored."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any


@dataclass(frozen=True)
class AddedFace:
    """A face that was added. person_id: its id, a UUID. name: as given, or else the one that the service chose."""

    person_id: str
    name: str


@dataclass(frozen=True)
class FoundFace:
    """A face that a search found. confidence: how alike it is, from 0 to 100."""

    person_id: str
    name: str
    confidence: float


class Result(str, Enum):
    """What a comparison concludes from the similarity."""

    SAME_PERSON = "SAME PERSON"
    NOT_SURE = "NOT SURE"
    NOT_SAME_PERSON = "NOT SAME PERSON"


@dataclass(frozen=True)
class Comparison:
    """Two faces compared. similarity: from 0 to 100, on the scale of a confidence."""

    similarity: float
    result: Result


@dataclass(frozen=True)
class Person:
    """A person of a face database. added: when, in UTC; None if the service was too old to note it. external_id,
    metadata: what is attached, None if nothing is. faces: how many faces the person has.
    """

    person_id: str
    name: str
    added: datetime | None
    external_id: str | None
    metadata: Mapping[str, Any] | None
    faces: int


@dataclass(frozen=True)
class PersonPage:
    """A part of a list of persons. next: the `after` of the call for those that follow; None at the end."""

    persons: list[Person]
    next: str | None


@dataclass(frozen=True)
class CountedFacedb:
    """A face database and how much is in it. default: whether it is meant where none is named."""

    facedb: str
    persons: int
    faces: int
    default: bool


def added_faces(message: Any) -> list[AddedFace]:
    """Return the faces of an addface. Raises ValueError for another message."""
    return [AddedFace(_text(entry, "person_id"), _text(entry, "name")) for entry in _entries(message)]


def found_faces(message: Any) -> list[FoundFace]:
    """Return the faces of a searchface. Raises ValueError for another message."""
    return [
        FoundFace(_text(entry, "person_id"), _text(entry, "name"), _number(entry, "confidence"))
        for entry in _entries(message)
    ]


def comparison(message: Any) -> Comparison:
    """Return the result of a facecompare. Raises ValueError for another message."""
    return Comparison(_number(message, "similarity"), Result(_text(message, "result")))


def person(message: Any) -> Person:
    """Return the person of a getperson or updateperson. Raises ValueError for another message."""
    added = _field(message, "added")
    metadata = message.get("metadata")
    if metadata is not None and not isinstance(metadata, Mapping):
        raise ValueError("metadata is no object")
    return Person(
        _text(message, "person_id"),
        _text(message, "name"),
        None if added is None else datetime.fromisoformat(_text(message, "added").replace("Z", "+00:00")),
        None if message.get("external_id") is None else _text(message, "external_id"),
        metadata,
        _count(message, "faces"),
    )


def person_page(message: Any) -> PersonPage:
    """Return the part of a list of a listpersons. Raises ValueError for another message."""
    following = None if _field(message, "next") is None else _text(message, "next")
    return PersonPage([person(entry) for entry in _entries(_field(message, "persons"))], following)


def counted_facedbs(message: Any) -> list[CountedFacedb]:
    """Return the face databases of a listfacedbs. Raises ValueError for another message."""
    return [
        CountedFacedb(
            _text(entry, "facedb"),
            _count(entry, "persons"),
            _count(entry, "faces"),
            _field(entry, "default") is True,
        )
        for entry in _entries(message)
    ]


def nothing(_message: Any) -> None:
    """Take any message."""


def _entries(message: Any) -> list[Any]:
    if not isinstance(message, list):
        raise ValueError("message is no list")  # noqa: TRY004 -- one error for every flaw of an answer
    return message


def _text(entry: Any, name: str) -> str:
    value = _field(entry, name)
    if not isinstance(value, str):
        raise ValueError(f"{name} is no text")  # noqa: TRY004
    return value


def _number(entry: Any, name: str) -> float:
    value = _field(entry, name)
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ValueError(f"{name} is no number")  # noqa: TRY004
    return float(value)


def _count(entry: Any, name: str) -> int:
    return int(_number(entry, name))


def _field(entry: Any, name: str) -> Any:
    if not isinstance(entry, Mapping) or name not in entry:
        raise ValueError(f"{name} is missing")
    return entry[name]
