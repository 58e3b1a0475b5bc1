"""A store in memory, the exact reference for the others: points in a dict, compared one by one. It ends with the
process.
"""

import copy
import threading
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from typing import Self

import numpy as np

from worker.models.identity import Identity
from worker.models.spaces import Spaces
from worker.store.backend import Backend
from worker.store.base import (
    Changes,
    Counts,
    Match,
    Person,
    Point,
    Position,
    StoreUnavailable,
    Vector,
    check_identity,
    check_points,
    check_vectors,
    ranked,
)
from worker.store.faces import faces_of

ROUNDING = 1e-6
"""Largest deviation of a length from 1 at which a vector is stored unchanged, as in Qdrant."""


class _Collection:
    def __init__(self, identity: Identity) -> None:
        self.identity = identity
        self.points: dict[uuid.UUID, Point] = {}


class MemoryStore:
    """A Store for tests and trials, with one lock around everything."""

    def __init__(self, identity: Identity) -> None:
        self.identity = identity
        self._collections: dict[str, _Collection] = {}
        self._lock = threading.Lock()
        self._closed = threading.Event()

    def under(self, identity: Identity) -> Self:
        store = copy.copy(self)
        store.identity = identity
        return store

    def identity_of(self, collection: str) -> Identity | None:
        with self._lock:
            self._open()
            kept = self._collections.get(collection)
        return None if kept is None else kept.identity

    def add(self, collection: str, points: Sequence[Point]) -> None:
        check_points(points, self.identity.dimension)
        if not points:
            return
        with self._lock:
            kept = self._ours(collection) or self._collections.setdefault(collection, _Collection(self.identity))
            for point in points:
                kept.points.setdefault(point.person_id, _kept(point))

    def search(self, collection: str, vector: Vector, limit: int, min_cosine: float) -> list[Match]:
        check_vectors([vector], self.identity.dimension)
        with self._lock:
            kept = self._ours(collection)
            points = list(kept.points.values()) if kept else []
        if not points:
            return []
        # Not `@`, which may round equal rows differently and so break ties.
        cosines = (np.stack([point.vector for point in points]) * _unit(vector)).sum(axis=1)
        found = zip(points, cosines.tolist(), strict=True)
        return ranked(((point.person_id, point.name, cosine) for point, cosine in found), min_cosine)[:limit]

    def contains(self, collection: str, person_id: uuid.UUID) -> bool:
        with self._lock:
            kept = self._ours(collection)
            return kept is not None and person_id in kept.points

    def delete(self, collection: str, person_id: uuid.UUID) -> None:
        with self._lock:
            kept = self._ours(collection)
            if kept is not None:
                kept.points.pop(person_id, None)

    def get(self, collection: str, person_ids: Sequence[uuid.UUID]) -> list[Point]:
        with self._lock:
            kept = self._ours(collection)
            return [kept.points[one] for one in person_ids if one in kept.points] if kept else []

    def replace(self, collection: str, read: Point, new: Point | None) -> None:
        check_points([] if new is None else [new], self.identity.dimension)
        with self._lock:
            kept = self._ours(collection)
            if kept is None or kept.points.get(read.person_id) is not read:
                return
            if new is None:
                del kept.points[read.person_id]
            else:
                kept.points[read.person_id] = _kept(new)

    def points(self, collection: str) -> Iterator[Point]:
        with self._lock:
            kept = self._ours(collection)
            found = sorted(kept.points.values(), key=lambda point: point.person_id) if kept else []
        yield from found

    def page(
        self,
        collection: str,
        after: Position | None,
        limit: int,
        *,
        name: str | None = None,
        external_id: str | None = None,
    ) -> list[Person]:
        persons = [
            point.person
            for point in self.points(collection)
            if (name is None or point.name == name) and (external_id is None or point.external_id == external_id)
        ]
        rest = (person for person in persons if after is None or person.position > after)
        return sorted(rest, key=lambda person: person.position)[:limit]

    def person(self, collection: str, person_id: uuid.UUID) -> Person | None:
        with self._lock:
            kept = self._ours(collection)
            point = kept.points.get(person_id) if kept else None
        return None if point is None else point.person

    def update(self, collection: str, person_id: uuid.UUID, changes: Changes) -> bool:
        with self._lock:
            kept = self._ours(collection)
            point = kept.points.get(person_id) if kept else None
            if kept is None or point is None:
                return False
            kept.points[person_id] = replace(point, **changes)
            return True

    def count(self, collection: str) -> int:
        with self._lock:
            self._open()
            return len(self._collections[collection].points) if collection in self._collections else 0

    def counts(self, collections: Sequence[str]) -> Iterator[Counts]:
        for collection in collections:
            with self._lock:
                self._open()
                kept = self._collections.get(collection)
                points = list(kept.points.values()) if kept else []
            yield Counts(len(points), sum(len(faces_of(point)) for point in points))

    def collections(self) -> list[str]:
        with self._lock:
            self._open()
            return sorted(self._collections)

    def identities(self, collections: Collection[str]) -> dict[str, str]:
        with self._lock:
            self._open()
            return {name: str(self._collections[name].identity) for name in collections if name in self._collections}

    def drop(self, collection: str) -> None:
        with self._lock:
            self._open()
            self._collections.pop(collection, None)

    def compact(self, collection: str, rest: Callable[[], None]) -> bool:  # noqa: ARG002 -- the interface's
        self._open()
        return True

    def check(self) -> None:
        self._open()

    def check_room(self) -> None:
        """There is always room."""

    def close(self) -> None:
        self._closed.set()

    def _open(self) -> None:
        if self._closed.is_set():
            raise StoreUnavailable("the store is closed")

    def _ours(self, collection: str) -> _Collection | None:
        """Return the collection, None if there is none. Raises IdentityMismatch and StoreUnavailable."""
        self._open()
        kept = self._collections.get(collection)
        if kept is not None:
            check_identity(collection, str(kept.identity), self.identity)
        return kept


class MemoryBackend(Backend):
    """A Backend whose store begins empty and ends with the process."""

    durable = False

    def open(self, spaces: Spaces) -> MemoryStore:
        return MemoryStore(spaces.preferred)


def _kept(point: Point) -> Point:
    """Return a point as it is kept: a new object, whose vector is of unit length, with its faces."""
    point = replace(point, vector=_unit(point.vector))
    faces = faces_of(point)
    return replace(point, faces=faces if len(faces) > 1 else (replace(faces[0], vector=point.vector),))


def _unit(vector: Vector) -> Vector:
    """Return the vector at unit length, as engines store it; `check_vectors` lets a small deviation pass. A vector of
    unit length but for rounding is returned unchanged, so that what was read can be added again as it was.
    """
    length = float(np.linalg.norm(vector.astype(np.float64)))
    return vector if abs(length - 1) < ROUNDING else (vector / length).astype(np.float32)
