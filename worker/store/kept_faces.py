"""The faces of a person in the payload of an engine's point.

    faces           a JSON text: a list of {"face_id", "added", "quality"}, of each what differs from the person or is
                    known; absent for one face of which nothing more is known
    face_vectors    of two faces or more: their vectors, in the same order, as base64 of little-endian float32
    face_count      of two faces or more: how many they are

Texts, because an engine reads a payload as a whole for each match of a search: a text costs less than a list. The
vector of a single face is that of its point. face_count is a number of its own so that an engine can count.
"""

import base64
import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from pydantic import TypeAdapter

from shared.persons import MAX_FACES, FaceQuality
from worker.store.base import Face, Person, Point, Vector
from worker.store.faces import faces_of as faces_of_point

FACES: Final = "faces"
FACE_VECTORS: Final = "face_vectors"
FACE_COUNT: Final = "face_count"

FLOATS: Final = np.dtype("<f4")

_QUALITY: Final = TypeAdapter(FaceQuality)


def payload_of(point: Point) -> dict[str, Any]:
    """Return the keys of the faces of a point."""
    faces = faces_of_point(point)
    about = [described(point, face) for face in faces]
    payload: dict[str, Any] = {FACES: json.dumps(about, separators=(",", ":"))} if any(about) else {}
    if len(faces) > 1:
        vectors = b"".join(face.vector.astype(FLOATS).tobytes() for face in faces)
        payload |= {FACE_VECTORS: base64.b64encode(vectors).decode(), FACE_COUNT: len(faces)}
    return payload


def read_payload(person: Person, payload: Mapping[str, Any], vector: Vector) -> tuple[Face, ...]:
    """Return the faces in a payload. person, vector: of its point. Raises as `faces_of` does if it was damaged."""
    text, packed = payload.get(FACES), payload.get(FACE_VECTORS, "")
    known = [{}] * person.faces if text is None else json.loads(text)
    if person.faces == 1:
        return faces_of(person, known, [vector])
    vectors = np.frombuffer(base64.b64decode(packed, validate=True), FLOATS).astype(np.float32)
    return faces_of(person, known, [*vectors.reshape(person.faces, len(vector))])


def faces_of(person: Person, known: Sequence[Mapping[str, Any]], vectors: Sequence[Vector]) -> tuple[Face, ...]:
    """Return the faces of a person. known: of each what `described` returned. vectors: theirs. Raises ValueError,
    KeyError, TypeError or AttributeError if these are not the faces of a person.
    """
    faces = tuple(_face(person, about, vector) for about, vector in zip(known, vectors, strict=True))
    if not 1 <= len({face.face_id for face in faces}) == len(faces) <= MAX_FACES:
        raise ValueError("a face is there twice, or they are too many")
    return faces


def described(point: Point, face: Face) -> dict[str, Any]:
    """Return what is known of a face and differs from its person, all but the vector."""
    about: dict[str, Any] = {}
    if face.face_id != point.person_id:
        about["face_id"] = str(face.face_id)
    if face.added != point.added:
        about["added"] = face.added
    if face.quality is not None:
        about["quality"] = face.quality
    return about


def _face(person: Person, about: Mapping[str, Any], vector: Vector) -> Face:
    face_id = uuid.UUID(about["face_id"]) if "face_id" in about else person.person_id
    added, quality = about.get("added", person.added), about.get("quality")
    if not (added is None or type(added) is int):
        raise ValueError("a time of adding")
    return Face(face_id, vector, added, None if quality is None else _QUALITY.validate_python(quality))
