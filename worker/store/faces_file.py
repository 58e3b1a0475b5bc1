"""The faces of one collection as a file of JSON Lines, which does not depend on an engine or its version.

The first line is a Header, each other line a person: {"person_id", "name", "vector"}, the vector by which it is found
as base64 of little-endian float32, and what the person has of "added", "external_id" and "metadata", an object. "faces"
are those of a person of whose faces more is known: a list of {"face_id", "added", "quality"}, of each what differs from
the person or is known, and where they are several "vector". The manifest of a backup holds the file's length and
checksum.
"""

import base64
import binascii
import json
import os
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from shared.errors import OperatorError
from worker.models.identity import Identity
from worker.store import kept_faces
from worker.store.attributes import ADDED, EXTERNAL_ID, METADATA, is_added
from worker.store.base import Face, InvalidVector, Person, Point, Vector, check_points
from worker.store.faces import faces_of
from worker.store.kept_faces import FACES, FLOATS

VECTOR: Final = "vector"

_PIECE: Final = 1024 * 1024
"""Bytes that are read at once."""


class Header(BaseModel):
    """The collection of the faces and the identity of their vectors. dimension: numbers in a vector."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    collection: str
    identity: str
    dimension: int


def write(path: Path, collection: str, identity: Identity, points: Iterable[Point]) -> None:
    """Write a new file that only its owner can read, and sync it to the disk. Raises OSError."""
    header = Header(collection=collection, identity=str(identity), dimension=identity.dimension)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(header.model_dump_json() + "\n")
        for point in points:
            file.write(_line(point))
        file.flush()
        os.fsync(file.fileno())


def read_header(path: Path) -> Header:
    """Raises OperatorError if the file is damaged or cannot be read."""
    try:
        with path.open(encoding="utf-8") as file:
            return _header(path, file.readline())
    except OSError as error:
        raise OperatorError(f"cannot read {path} ({error.strerror})") from None
    except UnicodeDecodeError:
        raise _damaged(path, 1, "no UTF-8") from None


def read(path: Path) -> Iterator[Point]:
    """Yield each person. Raises OperatorError, which names the line, if the file cannot be read, is damaged or has a
    vector that no store takes.
    """
    number = 1
    try:
        with path.open(encoding="utf-8") as file:
            dimension = _header(path, file.readline()).dimension
            for number, line in enumerate(file, 2):  # noqa: B007 -- for the message
                yield _point(line, dimension)
    except OSError as error:
        raise OperatorError(f"cannot read {path} ({error.strerror})") from None
    except UnicodeDecodeError:
        raise _damaged(path, number, "no UTF-8 from here on") from None
    except InvalidVector as error:
        raise _damaged(path, number, f"a vector of {error}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise _damaged(path, number, "no face") from None


def count(path: Path) -> int:
    """Return the number of persons, by the lines of the file, which is not checked; 0 if it cannot be read."""
    try:
        with path.open("rb") as file:
            return max(0, sum(piece.count(b"\n") for piece in iter(lambda: file.read(_PIECE), b"")) - 1)
    except OSError:
        return 0


def _line(point: Point) -> str:
    person = {"person_id": str(point.person_id), "name": point.name, VECTOR: _text(point.vector)}
    more = {ADDED: point.added, EXTERNAL_ID: point.external_id, METADATA: point.metadata, FACES: _described(point)}
    return json.dumps(person | {key: value for key, value in more.items() if value is not None}, allow_nan=False) + "\n"


def _described(point: Point) -> list[dict[str, Any]] | None:
    faces = faces_of(point)
    described = [kept_faces.described(point, face) for face in faces]
    if len(faces) > 1:
        return [about | {VECTOR: _text(face.vector)} for about, face in zip(described, faces, strict=True)]
    return described if any(described) else None


def _header(path: Path, line: str) -> Header:
    try:
        return Header.model_validate_json(line)
    except ValidationError:
        raise _damaged(path, 1, "no header of a file of faces") from None


def _point(line: str, dimension: int) -> Point:
    """Raises ValueError, KeyError, TypeError, AttributeError or InvalidVector."""
    if not line.endswith("\n"):
        raise ValueError("cut short")
    found = json.loads(line)
    person_id, name = uuid.UUID(found["person_id"]), found["name"]
    if not isinstance(name, str) or str(person_id) != found["person_id"]:
        raise ValueError(name)
    added, external_id, metadata = map(found.get, (ADDED, EXTERNAL_ID, METADATA))
    if not (is_added(added) and isinstance(external_id, str | None) and isinstance(metadata, dict | None)):
        raise ValueError("attributes")
    person = Person(person_id, name, added, external_id, metadata)
    vector = _vector(found[VECTOR])
    point = Point(person_id, name, vector, added, external_id, metadata, _faces(person, found.get(FACES), vector))
    check_points([point], dimension)
    return point


def _faces(person: Person, described: Any, vector: Vector) -> tuple[Face, ...]:
    """Return the faces of a person as a line has them. vector: of the person. Raises as `faces_of`
    does.
    """
    if described is None:
        return ()
    vectors = [_vector(each[VECTOR]) for each in described] if len(described) > 1 else [vector]
    return kept_faces.faces_of(person, described, vectors)


def _text(vector: Vector) -> str:
    return base64.b64encode(vector.astype(FLOATS).tobytes()).decode()


def _vector(text: str) -> Vector:
    """Raises ValueError or TypeError."""
    try:
        numbers = base64.b64decode(text, validate=True)
    except binascii.Error:
        raise ValueError("vector") from None
    return np.frombuffer(numbers, FLOATS).astype(np.float32)


def _damaged(path: Path, number: int, what: str) -> OperatorError:
    return OperatorError(f"{path} is damaged: line {number} is {what}")
