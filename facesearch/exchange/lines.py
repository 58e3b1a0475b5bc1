"""A person as a line of JSON: what is attached to the person, and its faces without their vectors.

    {"person_id": …, "name": …, "added": …, "external_id": …, "metadata": {…},
     "faces": [{"face_id": …, "added": …, "quality": {…}}, …]}

added: microseconds since 1970 (UTC). What is not known of a person or a face is null.
"""

import json
import uuid
from typing import Annotated, Any, Final

from pydantic import Field, TypeAdapter

from shared.contract import FREE_NAME, LONGEST_NAME
from shared.persons import compact_metadata, is_external_id
from worker.store import kept_faces
from worker.store.attributes import is_added
from worker.store.base import Point, Vector
from worker.store.faces import faces_of, with_faces

LONGEST_LINE: Final = 1024 * 1024
"""Bytes of a line that are read at most: ten times what a person of the most faces and metadata has."""

_NAME: Final[TypeAdapter[str]] = TypeAdapter(Annotated[str, Field(pattern=FREE_NAME, max_length=LONGEST_NAME)])


def line_of(point: Point) -> tuple[bytes, list[Vector]]:
    """Return the line of a person, and the vectors of its faces."""
    faces = faces_of(point)
    person = {
        "person_id": str(point.person_id),
        "name": point.name,
        "added": point.added,
        "external_id": point.external_id,
        "metadata": point.metadata,
        "faces": [{"face_id": str(face.face_id), "added": face.added, "quality": face.quality} for face in faces],
    }
    return json.dumps(person, ensure_ascii=False, allow_nan=False).encode() + b"\n", [face.vector for face in faces]


def parsed(line: bytes) -> dict[str, Any]:
    """Return the object of a line. Raises ValueError, KeyError or TypeError if it is no person's."""
    if not line.endswith(b"\n"):
        raise ValueError("cut short")
    person = json.loads(line)
    if not isinstance(person["faces"], list) or not person["faces"]:
        raise ValueError("faces")
    return dict(person)


def point_of(person: dict[str, Any], vectors: list[Vector]) -> Point:
    """Return the person of a parsed line. vectors: of its faces, checked. Raises ValueError, KeyError, TypeError,
    AttributeError, and FacesOpposed if their mean has no direction.
    """
    external_id, metadata, added = person["external_id"], person["metadata"], person["added"]
    if not is_added(added):
        raise ValueError("added")
    if external_id is not None and not is_external_id(external_id):
        raise ValueError("external_id")
    if metadata is not None:
        compact_metadata(json.dumps(metadata, ensure_ascii=False))
    name = _NAME.validate_python(person["name"])
    point = Point(_id(person["person_id"]), name, vectors[0], added, external_id, metadata)
    return with_faces(point, kept_faces.faces_of(point.person, list(map(_face, person["faces"])), vectors))


def _face(about: dict[str, Any]) -> dict[str, Any]:
    _id(about["face_id"])
    if not is_added(about["added"]):
        raise ValueError("added")
    return {"face_id": about["face_id"], "added": about["added"], "quality": about["quality"]}


def _id(text: str) -> uuid.UUID:
    found = uuid.UUID(text)
    if str(found) != text:
        raise ValueError(text)
    return found
