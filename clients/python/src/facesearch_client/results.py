"""The results of calls. Fields that a newer service adds are ignored."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from enum import Enum
from typing import Any, TypeVar

T = TypeVar("T")


Box = tuple[int, int, int, int]
"""Left, top, width and height in pixels of a photo turned upright; a box may extend beyond the photo."""


@dataclass(frozen=True)
class Quality:
    """How a face is shown in its photo. size: side of the face in pixels. sharpness: about 0.8, blurred 0.4. dark,
    bright: parts of the face, 0 to 1, that are black, and white. yaw, pitch: degrees from facing the camera, to the
    right and down of the photo.
    """

    size: float
    sharpness: float
    dark: float
    bright: float
    yaw: float
    pitch: float


@dataclass(frozen=True)
class ShownFace:
    """A face in a photo. box: its place in the photo."""

    box: Box
    quality: Quality


@dataclass(frozen=True)
class AddedFace:
    """A face that was added. person_id: the id of its person, a UUID. name: as given, or else the one that the service
    chose. existing: with `unique`, whether it was not added, since that person is there already and so like it;
    confidence: how like it, from 0 to 100, None for a face that was added.

    All others are None unless details were asked for. face_id: the face's id. box, quality: as in ShownFace. added,
    external_id, metadata, faces: as in Person.
    """

    person_id: str
    name: str
    existing: bool = False
    confidence: float | None = None
    face_id: str | None = None
    box: Box | None = None
    quality: Quality | None = None
    added: datetime | None = None
    external_id: str | None = None
    metadata: Mapping[str, Any] | None = None
    faces: int | None = None


@dataclass(frozen=True)
class FaceConfidence:
    """How alike one face of a person is, from 0 to 100."""

    face_id: str
    confidence: float


@dataclass(frozen=True)
class FoundFace:
    """A person that a search found. confidence: how alike, from 0 to 100.

    All others are None unless details were asked for. face_id: the person's face that is most alike. box, quality: of
    the face in the photo, as in ShownFace; None in a search for a person and in a SearchedFace. added, external_id,
    metadata, faces: as in Person. face_confidences: of each of the person's faces, the best first.
    """

    person_id: str
    name: str
    confidence: float
    face_id: str | None = None
    box: Box | None = None
    quality: Quality | None = None
    added: datetime | None = None
    external_id: str | None = None
    metadata: Mapping[str, Any] | None = None
    faces: int | None = None
    face_confidences: list[FaceConfidence] | None = None


@dataclass(frozen=True)
class SearchedFace:
    """A face in a photo, with the faces that are like it, the most similar first. reason: why it was not searched for,
    such as "blur"; None if it was. box, quality: as in ShownFace.
    """

    box: Box
    quality: Quality
    reason: str | None
    matches: list[FoundFace]


class Result(str, Enum):
    """What a comparison concludes from the similarity."""

    SAME_PERSON = "SAME PERSON"
    NOT_SURE = "NOT SURE"
    NOT_SAME_PERSON = "NOT SAME PERSON"


@dataclass(frozen=True)
class Comparison:
    """Two faces compared. similarity: from 0 to 100, on the scale of a confidence. faces: both of them, in the order of
    the images; None unless details were asked for.
    """

    similarity: float
    result: Result
    faces: tuple[ShownFace, ShownFace] | None = None


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
class FaceOfPerson:
    """One of the faces of a person. face_id: of the first one it is the person_id. added, quality: as in Person and
    ShownFace; None if the service was too old to note it.
    """

    face_id: str
    added: datetime | None
    quality: Quality | None


@dataclass(frozen=True)
class PersonWithFaces:
    """A person with its faces, the one added first is first. All others as in Person."""

    person_id: str
    name: str
    added: datetime | None
    external_id: str | None
    metadata: Mapping[str, Any] | None
    faces: list[FaceOfPerson]


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


_Details = tuple[
    str | None, Box | None, Quality | None, datetime | None, str | None, Mapping[str, Any] | None, int | None
]


def added_faces(message: Any) -> list[AddedFace]:
    """Return the faces of an addface. Raises ValueError for another message."""
    return [
        AddedFace(
            _text(entry, "person_id"),
            _text(entry, "name"),
            entry.get("existing") is True,
            _optional(entry, "confidence", _number),
            *_details(entry),
        )
        for entry in _entries(message)
    ]


def _details(entry: Any) -> _Details:
    """Return what `details` adds to a face of an addface or a searchface."""
    return (
        _optional(entry, "face_id", _text),
        _optional(entry, "box", _box),
        _optional(entry, "quality", _quality),
        _optional(entry, "added", _time),
        _optional(entry, "external_id", _text),
        _optional(entry, "metadata", _object),
        _optional(entry, "faces", _count),
    )


def found_faces(message: Any) -> list[FoundFace]:
    """Return the faces of a searchface. Raises ValueError for another message."""
    return [
        FoundFace(
            _text(entry, "person_id"),
            _text(entry, "name"),
            _number(entry, "confidence"),
            *_details(entry),
            _optional(entry, "face_confidences", _face_confidences),
        )
        for entry in _entries(message)
    ]


def searched_faces(message: Any) -> list[SearchedFace]:
    """Return the faces of a searchface for all faces. Raises ValueError for another message."""
    return [
        SearchedFace(
            _box(entry, "box"),
            _quality(entry, "quality"),
            _optional(entry, "reason", _text),
            found_faces(_field(entry, "matches")),
        )
        for entry in _entries(message)
    ]


def comparison(message: Any) -> Comparison:
    """Return the result of a facecompare. Raises ValueError for another message."""
    similarity, result = _number(message, "similarity"), Result(_text(message, "result"))
    return Comparison(similarity, result, _optional(message, "faces", _pair))


def person(message: Any) -> Person:
    """Return the person of an updateperson. Raises ValueError for another message."""
    return Person(*_about(message), _count(message, "faces"))


def person_with_faces(message: Any) -> PersonWithFaces:
    """Return the person of a getperson. Raises ValueError for another message."""
    faces = [
        FaceOfPerson(_text(entry, "face_id"), _time_or_none(entry, "added"), _optional(entry, "quality", _quality))
        for entry in _entries(_field(message, "faces"))
    ]
    return PersonWithFaces(*_about(message), faces)


def _about(
    message: Any,
) -> tuple[str, str, datetime | None, str | None, Mapping[str, Any] | None]:
    """Return what all forms of a person have, in the order of their fields."""
    return (
        _text(message, "person_id"),
        _text(message, "name"),
        _time_or_none(message, "added"),
        _optional(message, "external_id", _text),
        _optional(message, "metadata", _object),
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


def _time(entry: Any, name: str) -> datetime:
    return datetime.fromisoformat(_text(entry, name).replace("Z", "+00:00"))


def _time_or_none(entry: Any, name: str) -> datetime | None:
    return None if _field(entry, name) is None else _time(entry, name)


def _object(entry: Any, name: str) -> Mapping[str, Any]:
    value = _field(entry, name)
    if not isinstance(value, Mapping):
        raise ValueError(f"{name} is no object")  # noqa: TRY004
    return value


def _box(entry: Any, name: str) -> Box:
    numbers = _entries(_field(entry, name))
    if len(numbers) != 4 or not all(isinstance(number, int) for number in numbers):
        raise ValueError(f"{name} is no box")
    left, top, width, height = numbers
    return left, top, width, height


def _quality(entry: Any, name: str) -> Quality:
    measured = _field(entry, name)
    return Quality(*(_number(measured, each.name) for each in fields(Quality)))


def _face_confidences(entry: Any, name: str) -> list[FaceConfidence]:
    faces = _entries(_field(entry, name))
    return [FaceConfidence(_text(face, "face_id"), _number(face, "confidence")) for face in faces]


def _pair(entry: Any, name: str) -> tuple[ShownFace, ShownFace]:
    first, second = (ShownFace(_box(face, "box"), _quality(face, "quality")) for face in _entries(_field(entry, name)))
    return first, second


def _optional(entry: Any, name: str, read: Callable[[Any, str], T]) -> T | None:
    """Return a field as read() reads it; None where it is missing or null."""
    return read(entry, name) if isinstance(entry, Mapping) and entry.get(name) is not None else None


def _field(entry: Any, name: str) -> Any:
    if not isinstance(entry, Mapping) or name not in entry:
        raise ValueError(f"{name} is missing")
    return entry[name]
