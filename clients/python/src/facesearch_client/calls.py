"""The calls of the service, ready to be sent: the same for both clients."""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

from facesearch_client.images import Image, encoded
from facesearch_client.results import (
    AddedFace,
    Comparison,
    FoundFace,
    added_faces,
    comparison,
    found_faces,
    nothing,
)

T_co = TypeVar("T_co", covariant=True)

Faces = Literal["all", "largest", "one"]


@dataclass(frozen=True)
class Call(Generic[T_co]):
    """One call. name: the last part of its path. texts, images: its parameters; images are sent as files, which
    takes the service and this client less time than base64. result: makes the result of the message of OK, or raises
    ValueError.
    """

    name: str
    texts: Mapping[str, str] = field(repr=False)
    images: Mapping[str, bytes] = field(repr=False)
    result: Callable[[Any], T_co]


def addface(
    image: Image, name: str | None, facedb: str | None, faces: Faces | None, *, shrink: bool
) -> Call[list[AddedFace]]:
    texts = _given(name=name, facedb=facedb, faces=faces)
    return Call("addface", texts, {"img": encoded(image, shrink=shrink)}, added_faces)


def searchface(
    image: Image, facedb: str | None, limit: int | None, min_confidence: float | None, *, shrink: bool
) -> Call[list[FoundFace]]:
    texts = _given(facedb=facedb, limit=limit, min_confidence=min_confidence)
    return Call("searchface", texts, {"img": encoded(image, shrink=shrink)}, found_faces)


def delface(person_id: str | uuid.UUID, facedb: str | None) -> Call[None]:
    return Call("delface", _given(person_id=str(person_id), facedb=facedb), {}, nothing)


def facecompare(image1: Image, image2: Image, *, shrink: bool) -> Call[Comparison]:
    images = {"img1": encoded(image1, shrink=shrink), "img2": encoded(image2, shrink=shrink)}
    return Call("facecompare", {}, images, comparison)


def new_idempotency_key() -> str:
    """Return an Idempotency-Key that no other request has."""
    return str(uuid.uuid4())


def _given(**values: str | float | None) -> dict[str, str]:
    """Return the parameters that are not left out, as texts. An empty text is not left out."""
    return {name: str(value) for name, value in values.items() if value is not None}
