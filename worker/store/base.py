"""The interface of all stores: collections of named unit vectors, searched by cosine similarity.

Every store passes tests/integration/stores. Only worker/store/opening.py knows which one is in use.
"""

import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypedDict

import numpy as np
import numpy.typing as npt

from shared.persons import FaceQuality
from worker.models.identity import Identity

Vector = npt.NDArray[np.float32]
"""An embedding: float32, shape (dimension,), unit length."""

UNIT_TOLERANCE: Final = 1e-3
"""Largest deviation of a length from 1: float16 engines and round trips stay well within it."""

THRESHOLD_MARGIN: Final = 1e-6
"""Subtracted from min_cosine in requests to engines, which compare strictly and round in float32. `ranked` then cuts at
min_cosine itself."""

MAX_ADDED: Final = 2**53 - 1
"""The latest time of adding, in the year 2255: engines compare times as float64."""

PAGE: Final = 32
"""Points that `points` reads at once. Qdrant Edge holds the interpreter lock meanwhile, for 0.2 ms."""

LONGEST_INDEXING_S: Final = 600.0
"""Time limit for indexing a collection of an old release, during which it is not available."""


class StoreError(Exception):
    """A store could not carry out a call. The text is for the log and holds no vector and no name of a person."""


class StoreUnavailable(StoreError):
    """The store cannot be reached or cannot write now; nothing is wrong with the request."""


class IdentityMismatch(StoreError):
    """Another model made the vectors of the collection, so they cannot be compared with ours."""


class InvalidVector(StoreError):
    """A vector is not finite, not of unit length or of the wrong dimension. Engines accept such vectors silently."""


@dataclass(frozen=True)
class Person:
    """What a store knows of a person, without its faces.

    added: when the person was added, in microseconds since 1970 (UTC), from 1 to MAX_ADDED; None for a face that an
    earlier release added. external_id: the caller's own id, in ASCII. metadata: a JSON object, as json.loads returns
    it; the order of its keys is kept. faces: how many it has, from 1.
    """

    person_id: uuid.UUID
    name: str
    added: int | None = None
    external_id: str | None = None
    metadata: Mapping[str, Any] | None = None
    faces: int = 1

    @property
    def position(self) -> "Position":
        """The place of the person in the pages of its collection."""
        return self.added or 0, self.person_id


@dataclass(frozen=True, eq=False)  # arrays have no single truth value, so no ==
class Face:
    """A face of a person. added: as of Person. quality: None for a face that an earlier release added."""

    face_id: uuid.UUID
    vector: Vector
    added: int | None = None
    quality: FaceQuality | None = None


@dataclass(frozen=True)
class Point:
    """A stored person with its faces.

    vector: by which the person is found, see worker/store/faces.py. faces: as they are kept, at most MAX_FACES; () for
    one face of which only the vector is known, and whose id and time are those of the person. All stores return points
    with faces. as_read: what `Store.replace` compares; only points that a store returned have it. The other fields are
    those of Person.
    """

    person_id: uuid.UUID
    name: str
    vector: Vector
    added: int | None = None
    external_id: str | None = None
    metadata: Mapping[str, Any] | None = None
    faces: tuple[Face, ...] = ()
    as_read: Mapping[str, str | None] | None = field(default=None, compare=False, repr=False)

    @property
    def person(self) -> Person:
        faces = max(1, len(self.faces))
        return Person(self.person_id, self.name, self.added, self.external_id, self.metadata, faces)


class Changes(TypedDict, total=False):
    """Attributes of a person that are to change. None removes an attribute; one that is left out stays."""

    name: str
    external_id: str | None
    metadata: Mapping[str, Any] | None


@dataclass(frozen=True)
class Counts:
    """How many persons a collection has, and how many faces they have in all; both from 0."""

    persons: int
    faces: int


Position = tuple[int, uuid.UUID]
"""The place of a person in the pages of a collection: (added, or 0 without it; person_id)."""


@dataclass(frozen=True)
class Match:
    """A face that a search found; cosine in [-1, 1]."""

    person_id: uuid.UUID
    name: str
    cosine: float


class Store(Protocol):
    """Collections by name. Adding the first point creates a collection, which remembers the identity of its vectors.

    Every method raises StoreUnavailable when the engine cannot answer. Methods that read or write points raise
    IdentityMismatch for vectors of another identity; count, counts, collections, identity_of, identities and drop
    do not, so that an operator can clear up. All methods may be called from several threads.

    identity: of the vectors that are added, and of the collections that may be read. `under` gives the same collections
    to another identity.
    """

    identity: Identity

    def under(self, identity: Identity) -> "Store":
        """Return the same store for vectors of another identity. Both share the engine and are closed together."""

    def identity_of(self, collection: str) -> Identity | None:
        """Return the identity of the collection's vectors; None for an unknown collection. Raises IdentityMismatch if
        facesearch did not make the collection. A server is asked only as long as it has not named an identity; what it
        named is asked for again after an IdentityMismatch.
        """

    def add(self, collection: str, points: Sequence[Point]) -> None:
        """Write points of different persons. One whose person_id is there already stays as it is, so that a job that is
        delivered again does not undo an update. On return they can be found and survive a killed process. Raises
        InvalidVector before anything is written.
        """

    def search(self, collection: str, vector: Vector, limit: int, min_cosine: float) -> list[Match]:
        """Return at most limit (>= 1) matches with cosine >= min_cosine, best first, ties by person_id. Which of the
        points that tie at the limit are listed is the engine's choice. An unknown collection has none. Raises
        InvalidVector.
        """

    def contains(self, collection: str, person_id: uuid.UUID) -> bool:
        """Return whether the collection has the point."""

    def delete(self, collection: str, person_id: uuid.UUID) -> None:
        """Remove the point, if it is there."""

    def points(self, collection: str) -> Iterator[Point]:
        """Yield every point once, in the order of the engine's ids, read PAGE at a time. The ids are hashes, so that
        the first points are a random sample. Points that are added or removed meanwhile may or may not be among them.
        An unknown collection has none. Raises while it is read, and StoreError for a point without a name or a vector.
        """

    def get(self, collection: str, person_ids: Sequence[uuid.UUID]) -> list[Point]:
        """Return the points of these persons, as far as they are there, in any order."""

    def replace(self, collection: str, read: Point, new: Point | None) -> None:
        """Write `new`, of the same person, in place of a point that `get` returned, or remove that if new is None;
        unless the person was removed or anything of it was changed meanwhile: then nothing happens. `get` shows what
        became of it. What is written survives a killed process. A call whose request reaches an engine late, or twice,
        has no effect once any other change has been made. Raises InvalidVector.
        """

    def page(
        self,
        collection: str,
        after: Position | None,
        limit: int,
        *,
        name: str | None = None,
        external_id: str | None = None,
    ) -> list[Person]:
        """Return at most limit (>= 1) persons, oldest first: those after a position, or the first ones. Persons without
        a time of adding come first; persons of one time come in an order that stays the same. name and external_id:
        only persons that have exactly these. Fewer than limit are the last ones; an unknown collection has none.

        A caller that continues after the position of the last person gets no one twice, and misses no one who was there
        throughout, whatever is added, changed and deleted meanwhile. Its filter, if it has one, counts when the page is
        read.
        """

    def person(self, collection: str, person_id: uuid.UUID) -> Person | None:
        """Return the person; None if the collection does not have it."""

    def update(self, collection: str, person_id: uuid.UUID, changes: Changes) -> bool:
        """Change attributes of a person, all at once, and return True; return False if the collection does not have the
        person. On return the change can be seen and survives a killed process. A person that is deleted meanwhile stays
        deleted.
        """

    def count(self, collection: str) -> int:
        """Return the number of points, one for each person; 0 for an unknown collection."""

    def counts(self, collections: Sequence[str]) -> Iterator[Counts]:
        """Yield how much each of these collections has, in their order, each counted no earlier than it is asked for;
        nothing is in an unknown collection. Persons are not gone through. What was counted is remembered where counting
        takes long, so that a caller that gives up can begin again and comes further. Raises while it is read.
        """

    def collections(self) -> list[str]:
        """Return the names of all collections, sorted."""

    def identities(self, collections: Collection[str]) -> dict[str, str]:
        """Return the identity of each of these collections, as a text; "" where facesearch did not make the collection.
        Missing and damaged collections are left out.
        """

    def drop(self, collection: str) -> None:
        """Remove the collection with all its points, if it is there."""

    def compact(self, collection: str, rest: Callable[[], None]) -> bool:
        """Rewrite the collection's files without removed points, while it is used. rest is called every few
        milliseconds of work; an exception of it ends the work and leaves the collection as it is. Nothing happens for
        an unknown collection. Returns False, having done nothing, where a server does that by itself.
        """

    def check(self) -> None:
        """Raise StoreUnavailable unless the engine can answer now. Cheap: called every few seconds."""

    def check_room(self) -> None:
        """Raise StoreUnavailable if an add is known to fail now, as on a full disk. As cheap as check."""

    def close(self) -> None:
        """Release everything. Later calls raise StoreUnavailable."""


def check_vectors(vectors: Sequence[Vector], dimension: int) -> None:
    """Raise InvalidVector unless each vector has shape (dimension,), is finite and of unit length."""
    for vector in vectors:
        if vector.shape != (dimension,):
            raise InvalidVector(f"shape {vector.shape} where ({dimension},) is stored")
        length = float(np.linalg.norm(vector.astype(np.float64)))
        if not abs(length - 1) <= UNIT_TOLERANCE:  # written so that NaN fails
            raise InvalidVector(f"length {length:.4g} where 1 is needed")


def check_points(points: Iterable[Point], dimension: int) -> None:
    """Raise InvalidVector unless the vectors of each point and of its faces are as `check_vectors` wants them."""
    check_vectors([vector for p in points for vector in (p.vector, *(face.vector for face in p.faces))], dimension)


def check_identity(collection: str, stored: str | None, ours: Identity) -> None:
    """Raise IdentityMismatch unless stored, the identity that the collection remembers (None: none), is ours."""
    if stored != str(ours):
        holds = f"holds faces of {stored}" if stored else "was not made by facesearch"
        raise IdentityMismatch(f"collection {collection} {holds}; this worker makes {ours}")


def parsed_identity(collection: str, stored: str | None) -> Identity:
    """Return the identity that the collection remembers (None: none). Raises IdentityMismatch if it remembers none."""
    try:
        return Identity.parse(stored or "")
    except ValueError:
        raise IdentityMismatch(f"collection {collection} was not made by facesearch") from None


def ranked(found: Iterable[tuple[uuid.UUID, str, float]], min_cosine: float) -> list[Match]:
    """Return matches from an engine's (person_id, name, cosine): those from min_cosine on, best first, ties by
    person_id. Float32 engines exceed [-1, 1] by rounding errors, so cosines are clamped.
    """
    matches = (Match(person_id, name, max(-1.0, min(1.0, cosine))) for person_id, name, cosine in found)
    return sorted((m for m in matches if m.cosine >= min_cosine), key=lambda m: (-m.cosine, m.person_id))
