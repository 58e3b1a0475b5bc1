"""A store in which a facedb may have two collections, while it is migrated from one model to another.

Callers name the collection of a facedb (shared/control/migrations.py) and never the stored ones. What is read or added
under an identity is that of the stored collection with embeddings of that identity. So a job that asked for the
identity of a facedb first, and goes on under it, stays with one of the two whatever is switched meanwhile. What needs
no vector is done in both: a deleted person is deleted in both, and a change of attributes is made in both.
"""

import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import Final

from shared.control.migrations import Migration
from worker.models.identity import Identity
from worker.store.base import Changes, Counts, Face, Match, Person, Point, Position, Store, StoreError, Vector
from worker.store.faces import FacesOpposed, faces_of, with_faces

FindMigrations = Callable[[], Mapping[str, Migration]]
"""Returns every migration by the collection of its facedb. Raises StoreError if that cannot be known."""

TRIES: Final = 10
"""Times that a change of the faces of a person is tried, which fails when another change came first."""


class MigratedStore:
    """A Store that passes its calls on to another one, with the names of stored collections."""

    def __init__(self, store: Store, find: FindMigrations) -> None:
        self.identity = store.identity
        self.check = store.check
        self.check_room = store.check_room
        self.close = store.close
        self._store = store
        self._find = find

    def under(self, identity: Identity) -> "MigratedStore":
        return self if identity == self.identity else MigratedStore(self._store.under(identity), self._find)

    def identity_of(self, collection: str) -> Identity | None:
        migration = self._find().get(collection)
        return self._store.identity_of(collection) if migration is None else Identity.parse(migration.current.identity)

    def add(self, collection: str, points: Sequence[Point]) -> None:
        self._store.add(self._named(collection), points)

    def search(self, collection: str, vector: Vector, limit: int, min_cosine: float) -> list[Match]:
        return self._store.search(self._named(collection), vector, limit, min_cosine)

    def contains(self, collection: str, person_id: uuid.UUID) -> bool:
        """Return whether any of the stored collections has the point: it is not deleted while one has it."""
        return any(store.contains(name, person_id) for store, name in self._all(collection))

    def delete(self, collection: str, person_id: uuid.UUID) -> None:
        # First where it is searched: who writes to the other one looks there afterwards (worker/migration_actions.py).
        for store, name in self._all(collection):
            store.delete(name, person_id)

    def get(self, collection: str, person_ids: Sequence[uuid.UUID]) -> list[Point]:
        return self._store.get(self._named(collection), person_ids)

    def replace(self, collection: str, read: Point, new: Point | None) -> None:
        """Replace the point in the collection of our identity. Faces that this removes go from the others, too, and
        attributes are changed there.
        """
        ours = self._named(collection)
        self._store.replace(ours, read, new)
        removed = _ids(read) - _ids(new)
        is_changed = new is not None and _attributes(read) != _attributes(new)
        others = [(store, name) for store, name in self._all(collection) if name != ours]
        if not others or not (removed or is_changed):
            return
        left = point_of(self._store, ours, read.person_id)
        for store, name in others:
            if left is None:
                store.delete(name, read.person_id)
                continue
            remove_faces(store, name, read.person_id, removed - _ids(left))
            if is_changed:
                store.update(name, read.person_id, _attributes(left))

    def points(self, collection: str) -> Iterator[Point]:
        return self._store.points(self._named(collection))

    def page(
        self,
        collection: str,
        after: Position | None,
        limit: int,
        *,
        name: str | None = None,
        external_id: str | None = None,
    ) -> list[Person]:
        return self._store.page(self._named(collection), after, limit, name=name, external_id=external_id)

    def person(self, collection: str, person_id: uuid.UUID) -> Person | None:
        return self._store.person(self._named(collection), person_id)

    def update(self, collection: str, person_id: uuid.UUID, changes: Changes) -> bool:
        first, *others = [store.update(name, person_id, changes) for store, name in self._all(collection)]
        return first or any(others)

    def count(self, collection: str) -> int:
        return self._store.count(self._current(collection))

    def counts(self, collections: Sequence[str]) -> Iterator[Counts]:
        return self._store.counts([self._current(collection) for collection in collections])

    def collections(self) -> list[str]:
        """Return the names of all collections, those of facedbs that are or were migrated by their own."""
        owners = {each.name: owner for owner, migration in self._find().items() for each in migration.stored}
        return sorted({owners.get(name, name) for name in self._store.collections()})

    def identities(self, collections: Collection[str]) -> dict[str, str]:
        owners = {self._current(collection): collection for collection in collections}
        return {owners[name]: identity for name, identity in self._store.identities(owners.keys()).items()}

    def drop(self, collection: str) -> None:
        for _, name in self._all(collection):
            self._store.drop(name)

    def compact(self, collection: str, rest: Callable[[], None]) -> bool:
        compacted = [self._store.compact(name, rest) for _, name in self._all(collection)]
        return any(compacted)

    def _named(self, collection: str) -> str:
        """Return the stored collection with embeddings of our identity; without one, what the facedb has."""
        migration = self._find().get(collection)
        return collection if migration is None else migration.of_identity(str(self.identity))

    def _current(self, collection: str) -> str:
        migration = self._find().get(collection)
        return collection if migration is None else migration.current.name

    def _all(self, collection: str) -> list[tuple[Store, str]]:
        """Return every stored collection with the store under its identity: first what is searched."""
        migration = self._find().get(collection)
        if migration is None:
            return [(self._store, collection)]
        return [(self._store.under(Identity.parse(each.identity)), each.name) for each in migration.stored]


def point_of(store: Store, collection: str, person_id: uuid.UUID) -> Point | None:
    """Return the point of a person; None if the collection does not have it. Raises StoreError."""
    return next(iter(store.get(collection, [person_id])), None)


def put_face(store: Store, collection: str, person: Point, face: Face) -> None:
    """Add a face to a person, or add the person with this face alone. Nothing happens where the person has the face.
    person: its attributes. Raises StoreError.
    """
    for _ in range(TRIES):
        read = point_of(store, collection, person.person_id)
        if read is None:
            store.add(collection, [replace(person, vector=face.vector, faces=(face,), as_read=None)])
        elif face.face_id in _ids(read):
            return
        else:
            try:
                store.replace(collection, read, with_faces(read, [*faces_of(read), face]))
            except FacesOpposed:
                raise StoreError("the faces of a person are opposed to each other") from None
    raise StoreError("the faces of a person are changed all the time")


def remove_faces(store: Store, collection: str, person_id: uuid.UUID, face_ids: AbstractSet[uuid.UUID]) -> None:
    """Remove faces of a person, and the person with the last one. Raises StoreError."""
    for _ in range(TRIES):
        read = point_of(store, collection, person_id)
        if read is None or not face_ids & _ids(read):
            return
        left = [face for face in faces_of(read) if face.face_id not in face_ids]
        try:
            new = with_faces(read, left) if left else None
        except FacesOpposed:
            new = None
        store.replace(collection, read, new)
    raise StoreError("the faces of a person are changed all the time")


def _attributes(point: Point) -> Changes:
    return {"name": point.name, "external_id": point.external_id, "metadata": point.metadata}


def _ids(point: Point | None) -> set[uuid.UUID]:
    """Return the ids of the faces of a point."""
    return set() if point is None else {face.face_id for face in faces_of(point)}
