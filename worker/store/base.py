"""The store interface: collections of named unit vectors, searched by cosine.

Every store passes tests/integration/stores; nothing outside this package knows which one is in use.
"""

import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from worker.models.identity import Identity

Vector = npt.NDArray[np.float32]
"""An embedding: float32, shape (dimension,), unit length."""

UNIT_TOLERANCE = 1e-3
"""How far from 1 a length may be: float16 engines and round trips stay well within it."""


THRESHOLD_MARGIN = 1e-6
"""What engines are asked for below min_cosine: they compare strictly and round in float32. `ranked` cuts exactly."""


PAGE = 32
"""Points that `points` reads at once. Qdrant Edge holds the interpreter lock meanwhile, 0.2 ms, and no job gets on."""


class StoreError(Exception):
    """A store could not do what was asked. The text is for the log and holds no vector and no name of a person."""


class StoreUnavailable(StoreError):
    """The store cannot be reached or cannot write now; nothing is wrong with the request."""


class IdentityMismatch(StoreError):
    """The collection was filled by another model: its vectors and ours cannot be compared."""


class InvalidVector(StoreError):
    """A vector is not finite, not of unit length or of another dimension. Engines take such ones silently."""


@dataclass(frozen=True)
class Point:
    """One enrolled face."""

    person_id: uuid.UUID
    name: str
    vector: Vector


@dataclass(frozen=True)
class Match:
    """One face found; cosine in [-1, 1]."""

    person_id: uuid.UUID
    name: str
    cosine: float


class Store(Protocol):
    """Collections by name. A collection comes to be with its first point and remembers the identity of its vectors.

    Every method raises StoreUnavailable when the engine cannot answer. Those that touch points raise IdentityMismatch
    when the collection holds another model's vectors; count, collections, strangers and drop do not, as an operator has
    to be able to clear up. All methods may be called from several threads.
    """

    identity: Identity

    def add(self, collection: str, points: Sequence[Point]) -> None:
        """Write points; those with a known person_id are overwritten. On return they are searchable and survive a
        killed process. All vectors are checked before any is written. Raises InvalidVector.
        """

    def search(self, collection: str, vector: Vector, limit: int, min_cosine: float) -> list[Match]:
        """At most limit (>= 1) matches with cosine >= min_cosine, best first, ties by person_id. Of points that tie at
        the cut, which ones are listed is the engine's choice. Unknown collection: none. Raises InvalidVector.
        """

    def contains(self, collection: str, person_id: uuid.UUID) -> bool:
        """Whether the point is there."""

    def delete(self, collection: str, person_id: uuid.UUID) -> None:
        """Remove the point; nothing happens if it is not there."""

    def points(self, collection: str) -> Iterator[Point]:
        """Every point, none twice, in any order, read PAGE at a time: those that are there from the first to the last
        are among them, those that come or go meanwhile may be. Unknown collection: none. Raises, as it is read, what
        the methods raise; and StoreError for a point without a name or a vector.
        """

    def count(self, collection: str) -> int:
        """Number of points; 0 for an unknown collection."""

    def collections(self) -> list[str]:
        """Names of all collections, sorted."""

    def strangers(self, collections: Collection[str]) -> dict[str, str]:
        """Those of these collections that hold vectors of another identity, with that identity; "" where facesearch did
        not make them. What is not there, or is damaged, is none of them.
        """

    def drop(self, collection: str) -> None:
        """Remove a collection and all its points; nothing happens if it is not there."""

    def compact(self, collection: str, rest: Callable[[], None]) -> bool:
        """Leave nothing of removed points where the collection is kept, while it is used. rest: called every few
        milliseconds of work; what it raises ends the work and leaves the collection as it is. Unknown collection:
        nothing to do. Returns False, having done nothing, where that is up to a server.
        """

    def check(self) -> None:
        """Return if the engine can answer now, else raise StoreUnavailable. Cheap: called every few seconds."""

    def check_room(self) -> None:
        """Return unless it is known that an add would fail now, such as for want of disk, else raise StoreUnavailable.
        As cheap as check.
        """

    def close(self) -> None:
        """Release everything. Calls after it raise StoreUnavailable."""


def checked(vectors: Sequence[Vector], dimension: int) -> None:
    """Raises InvalidVector unless each vector has shape (dimension,), is finite and of unit length."""
    for vector in vectors:
        if vector.shape != (dimension,):
            raise InvalidVector(f"shape {vector.shape} where ({dimension},) is stored")
        length = float(np.linalg.norm(vector.astype(np.float64)))
        if not abs(length - 1) <= UNIT_TOLERANCE:  # written so that NaN fails
            raise InvalidVector(f"length {length:.4g} where 1 is needed")


def check_identity(collection: str, stored: str | None, ours: Identity) -> None:
    """Raises IdentityMismatch unless stored, the text a collection remembers (None: nothing), is our identity."""
    if stored != str(ours):
        holds = f"holds faces of {stored}" if stored else "was not made by facesearch"
        raise IdentityMismatch(f"collection {collection} {holds}; this worker makes {ours}")


def ranked(found: Iterable[tuple[uuid.UUID, str, float]], min_cosine: float) -> list[Match]:
    """Matches from (person_id, name, cosine) as an engine found them: cut at min_cosine, best first, ties by person_id.

    Float32 engines exceed [-1, 1] by a rounding error, hence the clamp.
    """
    matches = (Match(person_id, name, max(-1.0, min(1.0, cosine))) for person_id, name, cosine in found)
    return sorted((m for m in matches if m.cosine >= min_cosine), key=lambda m: (-m.cosine, m.person_id))
