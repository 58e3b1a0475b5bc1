"""The faces of one collection as a file of JSON Lines, which does not depend on an engine or its version.

The first line is a Header, each other line a face: {"person_id", "name", "vector"}, the vector as base64 of
little-endian float32, and what the person has of "added", "external_id" and "metadata", an object. The manifest of a
backup holds the file's length and checksum.
"""

import base64
import binascii
import json
import os
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from shared.errors import OperatorError
from worker.models.identity import Identity
from worker.store.attributes import ADDED, EXTERNAL_ID, METADATA, is_added
from worker.store.base import InvalidVector, Point, check_vectors

FLOATS: Final = np.dtype("<f4")


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
    """Yield each face. Raises OperatorError, which names the line, if the file cannot be read, is damaged or has a
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
    except (ValueError, KeyError, TypeError):
        raise _damaged(path, number, "no face") from None


def _line(point: Point) -> str:
    vector = base64.b64encode(point.vector.astype(FLOATS).tobytes()).decode()
    face = {"person_id": str(point.person_id), "name": point.name, "vector": vector}
    more = {ADDED: point.added, EXTERNAL_ID: point.external_id, METADATA: point.metadata}
    return json.dumps(face | {key: value for key, value in more.items() if value is not None}, allow_nan=False) + "\n"


def _header(path: Path, line: str) -> Header:
    try:
        return Header.model_validate_json(line)
    except ValidationError:
        raise _damaged(path, 1, "no header of a file of faces") from None


def _point(line: str, dimension: int) -> Point:
    """Raises ValueError, KeyError, TypeError or InvalidVector."""
    if not line.endswith("\n"):
        raise ValueError("cut short")
    face = json.loads(line)
    person_id, name = uuid.UUID(face["person_id"]), face["name"]
    if not isinstance(name, str) or str(person_id) != face["person_id"]:
        raise ValueError(name)
    added, external_id, metadata = map(face.get, (ADDED, EXTERNAL_ID, METADATA))
    if not (is_added(added) and isinstance(external_id, str | None) and isinstance(metadata, dict | None)):
        raise ValueError("attributes")
    try:
        numbers = base64.b64decode(face["vector"], validate=True)
    except binascii.Error:
        raise ValueError("vector") from None
    vector = np.frombuffer(numbers, FLOATS).astype(np.float32)
    check_vectors([vector], dimension)
    return Point(person_id, name, vector, added, external_id, metadata)


def _damaged(path: Path, number: int, what: str) -> OperatorError:
    return OperatorError(f"{path} is damaged: line {number} is {what}")
