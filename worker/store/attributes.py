"""The attributes of a person in the payload of an engine's point: its name, when it was added, and what a caller keeps.

An attribute that a person does not have is absent, or null once it was removed. metadata is a JSON text, since engines
neither keep the order of keys nor integers beyond 64 bits. The keys of the faces are in worker/store/kept_faces.py.
"""

import json
import uuid
from collections.abc import Mapping
from typing import Any, Final

from worker.store import kept_faces
from worker.store.base import MAX_ADDED, Changes, Person, Point, StoreError, Vector
from worker.store.kept_faces import FACE_COUNT

NAME: Final = "name"
ADDED: Final = "added"
EXTERNAL_ID: Final = "external_id"
METADATA: Final = "metadata"

REVISION: Final = "revision"
"""Another random text after each change of the faces, so that an engine can tell whether they were changed."""

KEYS: Final = (NAME, ADDED, EXTERNAL_ID, METADATA, FACE_COUNT)
"""What a Person is made of."""

_CHANGING: Final = (NAME, EXTERNAL_ID, METADATA, REVISION)


def payload_of(point: Point) -> dict[str, Any]:
    """Return the payload of a new point: what its person has, and its faces."""
    stored = {NAME: point.name, ADDED: point.added, EXTERNAL_ID: point.external_id, METADATA: _text(point.metadata)}
    return {key: value for key, value in stored.items() if value is not None} | kept_faces.payload_of(point)


def payload_of_changed(point: Point) -> dict[str, Any]:
    """Return the payload of a point that replaces another one."""
    return payload_of(point) | {REVISION: uuid.uuid4().hex}


def payload_of_changes(changes: Changes) -> dict[str, Any]:
    """Return what to set in the payload of a point, with null for what is removed."""
    given: dict[str, Any] = {**changes}
    if METADATA in given:
        given[METADATA] = _text(given[METADATA])
    return given


def person_of(collection: str, person_id: uuid.UUID, payload: Mapping[str, Any]) -> Person:
    """Return the person of a payload, which may hold other keys, too. Raises StoreError, with the collection in its
    text, if the payload has no name or was damaged.
    """
    name, added, external_id, metadata, faces = map(payload.get, KEYS)
    if not isinstance(name, str):
        raise StoreError(f"{collection}: face {person_id} has no name")
    if not is_added(added):
        raise StoreError(f"{collection}: face {person_id} has no valid time of adding")
    if external_id is not None and not isinstance(external_id, str):
        raise StoreError(f"{collection}: face {person_id} has no valid external_id")
    if faces is not None and (type(faces) is not int or faces < 1):
        raise StoreError(f"{collection}: face {person_id} has no valid number of faces")
    return Person(person_id, name, added, external_id, _object(collection, person_id, metadata), faces or 1)


def point_of(collection: str, person_id: uuid.UUID, payload: Mapping[str, Any], vector: Vector) -> Point:
    """Return the point of a payload and its vector. Raises StoreError as person_of does."""
    person = person_of(collection, person_id, payload)
    try:
        faces = kept_faces.read_payload(person, payload, vector)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise StoreError(f"{collection}: face {person_id} has no valid list of faces") from None
    changing = {key: payload.get(key) for key in _CHANGING}
    return Point(
        person_id, person.name, vector, person.added, person.external_id, person.metadata, faces, as_read=changing
    )


def is_added(value: object) -> bool:
    """Return whether the value is a time of adding, or None for none."""
    return value is None or (type(value) is int and 1 <= value <= MAX_ADDED)


def _text(metadata: Mapping[str, Any] | None) -> str | None:
    return None if metadata is None else json.dumps(metadata, allow_nan=False, separators=(",", ":"))


def _object(collection: str, person_id: uuid.UUID, text: object) -> dict[str, Any] | None:
    if text is None:
        return None
    try:
        found = json.loads(text) if isinstance(text, str) else None
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise StoreError(f"{collection}: face {person_id} has no valid metadata")
    return found
