"""The calls of the service, ready to be sent: the same for both clients."""

import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Literal, TypeVar
from urllib.parse import quote

from facesearch_client.images import Image, encoded
from facesearch_client.results import (
    AddedFace,
    Comparison,
    CountedFacedb,
    FoundFace,
    Person,
    PersonPage,
    PersonWithFaces,
    SearchedFace,
    added_faces,
    comparison,
    counted_facedbs,
    found_faces,
    nothing,
    person,
    person_page,
    person_with_faces,
    searched_faces,
)

T_co = TypeVar("T_co", covariant=True)

Faces = Literal["all", "largest", "one"]

SearchedFaces = Literal["largest", "all"]

Metadata = Mapping[str, Any]
"""What JSON has: texts, numbers, True, False, None, and lists and dictionaries of these."""


@dataclass(frozen=True)
class Call(Generic[T_co]):
    """One call. name: the service's for it, and unless path says otherwise the last part of its path. texts, images:
    its parameters: of a GET and a DELETE in the query string, of others in the body; images are sent as files, which
    takes the service and this client less time than base64. result: makes the result of the message of OK, or raises
    ValueError. path: below /v1/. headers: of this call.
    """

    name: str
    texts: Mapping[str, str] = field(repr=False)
    images: Mapping[str, bytes] = field(repr=False)
    result: Callable[[Any], T_co]
    method: Literal["POST", "GET", "PATCH", "DELETE"] = "POST"
    path: str | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    def not_waited_for(self, webhook_url: str | None) -> "Call[T_co]":
        """Return the call with the preference not to wait for its outcome, and the URL to which that goes."""
        webhook = {} if webhook_url is None else {"X-Webhook-Url": webhook_url}
        return replace(self, headers={"Prefer": "respond-async", **webhook})


def addface(
    image: Image,
    name: str | None,
    facedb: str | None,
    faces: Faces | None,
    external_id: str | None,
    metadata: Metadata | None,
    person_id: str | uuid.UUID | None,
    *,
    unique: float | None,
    details: bool,
    shrink: bool,
) -> Call[list[AddedFace]]:
    texts = _given(
        name=name,
        facedb=facedb,
        faces=faces,
        external_id=external_id,
        metadata=_json(metadata),
        person_id=None if person_id is None else str(person_id),
        unique=unique,
        details=_flag(details),
    )
    return Call("addface", texts, {"img": encoded(image, shrink=shrink)}, added_faces)


def searchface(
    image: Image | None,
    facedb: str | None,
    limit: int | None,
    min_confidence: float | None,
    faces: SearchedFaces | None,
    person_id: str | uuid.UUID | None,
    *,
    details: bool,
    shrink: bool,
) -> Call[list[FoundFace]] | Call[list[SearchedFace]]:
    if (image is None) == (person_id is None):
        raise ValueError("give an image or a person_id")
    texts = _given(
        facedb=facedb,
        limit=limit,
        min_confidence=min_confidence,
        faces=faces,
        person_id=None if person_id is None else str(person_id),
        details=_flag(details),
    )
    images = {} if image is None else {"img": encoded(image, shrink=shrink)}
    if faces == "all":
        return Call("searchface", texts, images, searched_faces)
    return Call("searchface", texts, images, found_faces)


def delface(person_id: str | uuid.UUID, facedb: str | None) -> Call[None]:
    return Call("delface", _given(person_id=str(person_id), facedb=facedb), {}, nothing)


def facecompare(image1: Image, image2: Image, *, details: bool, shrink: bool) -> Call[Comparison]:
    images = {"img1": encoded(image1, shrink=shrink), "img2": encoded(image2, shrink=shrink)}
    return Call("facecompare", _given(details=_flag(details)), images, comparison)


def listpersons(
    facedb: str | None, name: str | None, external_id: str | None, limit: int | None, after: str | None
) -> Call[PersonPage]:
    texts = _given(facedb=facedb, name=name, external_id=external_id, limit=limit, after=after)
    return Call("listpersons", texts, {}, person_page, "GET", "persons")


def getperson(person_id: str | uuid.UUID, facedb: str | None) -> Call[PersonWithFaces]:
    return Call("getperson", _given(facedb=facedb), {}, person_with_faces, "GET", _path(person_id))


def updateperson(
    person_id: str | uuid.UUID,
    facedb: str | None,
    name: str | None,
    external_id: str | None,
    metadata: Metadata | Literal[""] | None,
) -> Call[Person]:
    texts = _given(name=name, external_id=external_id, metadata=metadata if metadata == "" else _json(metadata))
    if not texts:
        raise ValueError("nothing is to be changed; give name, external_id or metadata")
    return Call("updateperson", texts | _given(facedb=facedb), {}, person, "PATCH", _path(person_id))


def deleteperson(person_id: str | uuid.UUID, facedb: str | None) -> Call[None]:
    return Call("deleteperson", _given(facedb=facedb), {}, nothing, "DELETE", _path(person_id))


def deleteface(person_id: str | uuid.UUID, face_id: str | uuid.UUID, facedb: str | None) -> Call[None]:
    path = f"{_path(person_id)}/faces/{_part(face_id, 'face_id must be the id of a face')}"
    return Call("deleteface", _given(facedb=facedb), {}, nothing, "DELETE", path)


def listfacedbs() -> Call[list[CountedFacedb]]:
    return Call("listfacedbs", {}, {}, counted_facedbs, "GET", "facedbs")


def getjob(job_id: str) -> Call[None]:
    """Return the look-up of a job, whose result is read by that of the call that became it."""
    return Call("getjob", {}, {}, nothing, "GET", f"jobs/{_part(job_id, 'job_id must be the id of a job')}")


def new_idempotency_key() -> str:
    """Return an Idempotency-Key that no other request has."""
    return str(uuid.uuid4())


def _path(person_id: str | uuid.UUID) -> str:
    """Return the path of a person. Raises ValueError as `_part` does."""
    return f"persons/{_part(person_id, 'person_id must be the id of a person')}"


def _part(identifier: str | uuid.UUID, flaw: str) -> str:
    """Return an id as one part of a path. Raises ValueError for one that would make it the path of something else."""
    text = str(identifier)
    if not text.strip("./"):
        raise ValueError(flaw)
    return quote(text, safe="")


def _json(metadata: Any) -> str | None:
    """Return metadata as JSON. Raises ValueError and TypeError for what JSON does not have."""
    return None if metadata is None else json.dumps(metadata, allow_nan=False)


def _flag(wanted: bool) -> str | None:
    return "1" if wanted else None


def _given(**values: str | float | None) -> dict[str, str]:
    """Return the parameters that are not left out, as texts. An empty text is not left out."""
    return {name: str(value) for name, value in values.items() if value is not None}
