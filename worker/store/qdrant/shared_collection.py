"""A Qdrant server or cluster with all facedbs in one collection, for more facedbs than a cluster can have collections.

There is one shared collection for each identity. The collection that has a facedb's points determines the facedb's
identity: before and after a worker writes, it checks that no collection of another identity has any. A facedb without a
face does not exist in the store, and its next face may have another identity than those before.
"""

import contextlib
import copy
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, Final, Self

from qdrant_client import models
from qdrant_client.client_base import QdrantBase

from shared.settings import Settings
from worker.models.identity import Identity
from worker.store import attributes, paging
from worker.store.base import (
    Changes,
    Counts,
    IdentityMismatch,
    Match,
    Person,
    Point,
    Position,
    StoreError,
    Vector,
    check_identity,
    check_points,
    check_vectors,
    ranked,
)
from worker.store.kept_faces import FACE_COUNT
from worker.store.qdrant.collections import Collections
from worker.store.qdrant.errors import Missing
from worker.store.qdrant.layout import FACEDB_KEY, PERSON_ID, SHARED_PREFIX, of_facedb, of_facedbs
from worker.store.qdrant.pages import Pages, PersonReader, equal, person_of_record
from worker.store.qdrant.retries import CHECK_S, Retries, operation
from worker.store.qdrant.search import Searches

_MOST_FACEDBS: Final = 1_000_000
"""Limit of one listing, which the server requires."""

_COUNTED_AT_ONCE: Final = 100
"""Facedbs that are counted together: in three requests, and one more for each number of faces that persons have."""


class SharedQdrantStore:
    """A Store on a Qdrant server, of placement "shared". Closes the client when it is closed itself."""

    def __init__(self, client: QdrantBase, retries: Retries, identity: Identity, settings: Settings) -> None:
        self._client, self._retries, self._settings = client, retries, settings
        # The identities of facedbs that have had points. Its single operations are atomic.
        self._identities: dict[str, Identity] = {}
        self._use(identity, Collections(client, retries, identity, settings))

    def under(self, identity: Identity) -> Self:
        store = copy.copy(self)
        store._use(identity, self._collections.under(identity))  # noqa: SLF001 -- of this class
        return store

    @operation
    def identity_of(self, collection: str) -> Identity | None:
        known = self._identities.get(collection)
        if known is None and (home := self._home_of(collection)) is not None:
            known = self._collections.identity_of(home)
        if known is not None:
            self._identities[collection] = known
        return known

    @operation
    def add(self, collection: str, points: Sequence[Point]) -> None:
        check_points(points, self.identity.dimension)
        if not points:
            return
        several = any(len(point.faces) > 1 for point in points)
        structs = [self._struct(collection, point, attributes.payload_of(point)) for point in points]
        self._refuse_another_identity(collection)
        self._collections.write(self._home, structs, indexed=[FACE_COUNT] if several else [])
        try:
            # A worker of another identity may have begun the same facedb: at least one of the two notices. This is so
            # for a facedb that has had points of ours, too, since all of them may have been deleted.
            self._refuse_another_identity(collection)
        except IdentityMismatch:
            self._collections.delete(self._home, models.PointIdsList(points=[struct.id for struct in structs]))
            raise

    @operation
    def search(self, collection: str, vector: Vector, limit: int, min_cosine: float) -> list[Match]:
        check_vectors([vector], self.identity.dimension)
        only = of_facedb(collection)

        def query() -> list[models.ScoredPoint]:
            return self._searches.nearest(self._home, collection, vector, limit, min_cosine, only)

        nothing: list[models.ScoredPoint] = []
        found = self._collections.read(self._home, query, nothing)
        if not found:
            self._refuse_another_identity(collection)
        payloads = ((point.payload or {}, point.score) for point in found)
        return ranked(((uuid.UUID(p[PERSON_ID]), p[attributes.NAME], score) for p, score in payloads), min_cosine)

    @operation
    def contains(self, collection: str, person_id: uuid.UUID) -> bool:
        ids = [_point_id(collection, person_id)]

        def retrieve() -> bool:
            return bool(self._client.retrieve(self._home, ids, with_payload=False, with_vectors=False))

        found = self._collections.read(self._home, retrieve, missing=False)
        if not found:
            self._refuse_another_identity(collection)
        return found

    @operation
    def delete(self, collection: str, person_id: uuid.UUID) -> None:
        self._refuse_another_identity(collection)
        self._collections.delete(self._home, models.PointIdsList(points=[_point_id(collection, person_id)]))

    @operation
    def get(self, collection: str, person_ids: Sequence[uuid.UUID]) -> list[Point]:
        found = self._pages.some(self._home, [_point_id(collection, person_id) for person_id in person_ids])
        if not found:
            self._refuse_another_identity(collection)
        return [self._pages.point(collection, record) for record in found]

    @operation
    def replace(self, collection: str, read: Point, new: Point | None) -> None:
        check_points([] if new is None else [new], self.identity.dimension)
        struct = None if new is None else self._struct(collection, new, attributes.payload_of_changed(new))
        self._refuse_another_identity(collection)
        if new is not None and len(new.faces) > 1:
            self._collections.require_indexes(self._home, [FACE_COUNT])
        self._collections.replace(self._home, _point_id(collection, read.person_id), read, struct)

    def points(self, collection: str) -> Iterator[Point]:
        self._refuse_another_identity(collection)
        for record in self._pages.records(self._home, of_facedb(collection)):
            yield self._pages.point(collection, record)

    @operation
    def page(
        self,
        collection: str,
        after: Position | None,
        limit: int,
        *,
        name: str | None = None,
        external_id: str | None = None,
    ) -> list[Person]:
        wanted = {FACEDB_KEY: collection, attributes.NAME: name, attributes.EXTERNAL_ID: external_id}
        conditions = equal(wanted)
        self._collections.require_indexes(self._home, [attributes.ADDED, *(each.key for each in conditions[1:])])
        reader = PersonReader(self._client, self._collections, self._home, collection, conditions)
        place = None if after is None else (after[0], uuid.UUID(_point_id(collection, after[1])))
        found = paging.read_page(reader, place, limit)
        if not found:
            self._refuse_another_identity(collection)
        return found

    @operation
    def person(self, collection: str, person_id: uuid.UUID) -> Person | None:
        ids = [_point_id(collection, person_id)]

        def retrieve() -> list[models.Record]:
            keys = [*attributes.KEYS, PERSON_ID]
            return self._client.retrieve(self._home, ids, with_payload=keys, with_vectors=False)

        nothing: list[models.Record] = []
        found = self._collections.read(self._home, retrieve, nothing)
        if not found:
            self._refuse_another_identity(collection)
            return None
        return person_of_record(collection, found[0])

    @operation
    def update(self, collection: str, person_id: uuid.UUID, changes: Changes) -> bool:
        if not self.contains(collection, person_id):
            return False
        payload = attributes.payload_of_changes(changes)
        self._collections.update(self._home, _point_id(collection, person_id), payload)
        return True

    @operation
    def count(self, collection: str) -> int:
        return sum(self._collections.count_in(home, collection) for home in self._collections.shared_names())

    def counts(self, collections: Sequence[str]) -> Iterator[Counts]:
        for begin in range(0, len(collections), _COUNTED_AT_ONCE):
            yield from self._counts(collections[begin : begin + _COUNTED_AT_ONCE])

    def collections(self) -> list[str]:
        """Return those that have a point, of any identity."""
        return sorted(set().union(*map(self._held_by, self._collections.shared_names())))

    def identities(self, collections: Collection[str]) -> dict[str, str]:
        found: dict[str, str] = {}
        for home in self._collections.shared_names():
            with contextlib.suppress(Missing):  # dropped since
                remembered = self._collections.remembered(home) or ""
                found.update(dict.fromkeys(self._held_by(home).intersection(collections), remembered))
        return found

    @operation
    def drop(self, collection: str) -> None:
        """Remove the points of the facedb, of any identity."""
        selector = models.FilterSelector(filter=of_facedb(collection))
        for home in self._collections.shared_names():
            self._collections.delete_of_any(home, selector)
        self._identities.pop(collection, None)

    def compact(self, collection: str, rest: Callable[[], None]) -> bool:  # noqa: ARG002 -- the interface's
        return False

    def check(self) -> None:
        # Any answer will do; unlike the server's /readyz, this call needs the right API key.
        with self._retries.operation(at_most_s=CHECK_S):
            self._retries.call(lambda: self._client.collection_exists(self._home))

    def check_room(self) -> None:
        """Do nothing: a server shows that its disk is full only by refusing a write."""

    def close(self) -> None:
        self._collections.close()

    def _struct(self, collection: str, point: Point, payload: dict[str, Any]) -> models.PointStruct:
        return models.PointStruct(
            id=_point_id(collection, point.person_id),
            vector={self._collections.vector_name: point.vector.tolist()},
            payload={FACEDB_KEY: collection, PERSON_ID: str(point.person_id), **payload},
        )

    def _use(self, identity: Identity, collections: Collections) -> None:
        self.identity = identity
        self._collections = collections
        self._home = SHARED_PREFIX + collections.vector_name
        self._searches = Searches(self._client, collections, self._settings)
        self._pages = Pages(self._client, collections)

    @operation
    def _counts(self, facedbs: Sequence[str]) -> list[Counts]:
        persons: Counter[str] = Counter()
        further: Counter[str] = Counter()  # faces beyond the first of a person
        for home in self._collections.shared_names():
            with contextlib.suppress(Missing):  # dropped since
                persons.update(self._by_facedb(home, of_facedbs(facedbs)))
                for faces in self._collections.with_several_faces(home, of_facedbs(facedbs)):
                    for facedb, number in self._by_facedb(home, of_facedbs(facedbs, faces)).items():
                        further[facedb] += (faces - 1) * number
        return [Counts(persons[facedb], persons[facedb] + further[facedb]) for facedb in facedbs]

    def _held_by(self, home: str) -> set[str]:
        """Return the facedbs that have points in a shared collection. Raises Missing."""
        return set(self._by_facedb(home))

    def _by_facedb(self, home: str, only: models.Filter | None = None) -> dict[str, int]:
        """Return how many points that match the filter each facedb has in a shared collection. Raises Missing."""
        return self._collections.by_value(home, FACEDB_KEY, _MOST_FACEDBS, only)

    def _refuse_another_identity(self, facedb: str) -> None:
        """Raise IdentityMismatch if another identity's collection has points of the facedb, and StoreError if the
        facedb has a collection of its own, which this placement does not search.
        """
        home = self._home_of(facedb, but=self._home)
        if home is not None:
            self._identities.pop(facedb, None)
            check_identity(facedb, self._collections.remembered(home), self.identity)

    def _home_of(self, facedb: str, but: str | None = None) -> str | None:
        """Return a shared collection that has points of the facedb, other than `but`; None if there is none. Raises
        StoreError if the facedb has a collection of its own, which this placement does not search.
        """
        names = self._collections.names()
        if facedb in names:
            raise StoreError(f"{facedb} has a collection of its own; set FACESEARCH_PLACEMENT=separate, or drop it")
        homes = (name for name in names if name.startswith(SHARED_PREFIX) and name != but)
        return next((home for home in homes if self._collections.count_in(home, facedb)), None)


def _point_id(facedb: str, person_id: uuid.UUID) -> str:
    """Return the id of the point: the same person_id in two facedbs is two points."""
    return str(uuid.uuid5(person_id, facedb))
