"""A Qdrant server or cluster with a collection for each facedb, and the identity in the collection's metadata."""

import contextlib
import copy
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
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
    Vector,
    check_points,
    check_vectors,
    ranked,
)
from worker.store.kept_faces import FACE_COUNT
from worker.store.qdrant.collections import Collections
from worker.store.qdrant.errors import Missing
from worker.store.qdrant.pages import Pages, PersonReader, equal, person_of_record
from worker.store.qdrant.retries import CHECK_S, Retries, operation
from worker.store.qdrant.search import Searches

_COUNTERS: Final = 4
"""Threads that count: each facedb takes two requests, which mostly wait for the server."""

_COUNTED_AT_ONCE: Final = 48
"""Facedbs that these count before the caller, who may give up, gets the first of them: some 50 ms."""


class QdrantStore:
    """A Store on a Qdrant server, of placement "separate". Closes the client when it is closed itself."""

    def __init__(self, client: QdrantBase, retries: Retries, identity: Identity, settings: Settings) -> None:
        self._client, self._retries, self._settings = client, retries, settings
        self._use(identity, Collections(client, retries, identity, settings))

    def under(self, identity: Identity) -> Self:
        store = copy.copy(self)
        store._use(identity, self._collections.under(identity))  # noqa: SLF001 -- of this class
        return store

    @operation
    def identity_of(self, collection: str) -> Identity | None:
        return self._collections.identity_of(collection)

    @operation
    def add(self, collection: str, points: Sequence[Point]) -> None:
        check_points(points, self.identity.dimension)
        if not points:
            return
        several = any(len(point.faces) > 1 for point in points)
        structs = [self._struct(point, attributes.payload_of(point)) for point in points]
        self._collections.write(collection, structs, indexed=[FACE_COUNT] if several else [])

    @operation
    def search(self, collection: str, vector: Vector, limit: int, min_cosine: float) -> list[Match]:
        check_vectors([vector], self.identity.dimension)

        def query() -> list[models.ScoredPoint]:
            return self._searches.nearest(collection, collection, vector, limit, min_cosine)

        nothing: list[models.ScoredPoint] = []
        found = self._collections.read(collection, query, nothing)
        return ranked(((uuid.UUID(str(p.id)), (p.payload or {})["name"], p.score) for p in found), min_cosine)

    @operation
    def contains(self, collection: str, person_id: uuid.UUID) -> bool:
        def retrieve() -> bool:
            return bool(self._client.retrieve(collection, [str(person_id)], with_payload=False, with_vectors=False))

        return self._collections.read(collection, retrieve, missing=False)

    @operation
    def delete(self, collection: str, person_id: uuid.UUID) -> None:
        self._collections.delete(collection, models.PointIdsList(points=[str(person_id)]))

    @operation
    def get(self, collection: str, person_ids: Sequence[uuid.UUID]) -> list[Point]:
        found = self._pages.some(collection, [*map(str, person_ids)])
        return [self._pages.point(collection, record) for record in found]

    @operation
    def replace(self, collection: str, read: Point, new: Point | None) -> None:
        check_points([] if new is None else [new], self.identity.dimension)
        struct = None if new is None else self._struct(new, attributes.payload_of_changed(new))
        if new is not None and len(new.faces) > 1:
            self._collections.require_indexes(collection, [FACE_COUNT])
        self._collections.replace(collection, str(read.person_id), read, struct)

    def points(self, collection: str) -> Iterator[Point]:
        for record in self._pages.records(collection):
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
        wanted = {attributes.NAME: name, attributes.EXTERNAL_ID: external_id}
        conditions = equal(wanted)
        self._collections.require_indexes(collection, [attributes.ADDED, *(each.key for each in conditions)])
        reader = PersonReader(self._client, self._collections, collection, collection, conditions)
        return paging.read_page(reader, after, limit)

    @operation
    def person(self, collection: str, person_id: uuid.UUID) -> Person | None:
        def retrieve() -> list[models.Record]:
            keys = [*attributes.KEYS]
            return self._client.retrieve(collection, [str(person_id)], with_payload=keys, with_vectors=False)

        nothing: list[models.Record] = []
        found = self._collections.read(collection, retrieve, nothing)
        return person_of_record(collection, found[0]) if found else None

    @operation
    def update(self, collection: str, person_id: uuid.UUID, changes: Changes) -> bool:
        if not self.contains(collection, person_id):
            return False
        self._collections.update(collection, str(person_id), attributes.payload_of_changes(changes))
        return True

    def count(self, collection: str) -> int:
        try:
            return self._retries.call(lambda: self._client.count(collection, exact=True).count)
        except Missing:
            return 0

    def counts(self, collections: Sequence[str]) -> Iterator[Counts]:
        for begin in range(0, len(collections), _COUNTED_AT_ONCE):
            with ThreadPoolExecutor(_COUNTERS) as pool:
                counted = list(pool.map(self._counts, collections[begin : begin + _COUNTED_AT_ONCE]))
            yield from counted

    def collections(self) -> list[str]:
        """Return the collections of facesearch: a server may hold others. Each has a call with its own time limit."""
        ours = []
        for name in self._collections.names():
            with contextlib.suppress(Missing):  # dropped since
                if self._collections.remembered(name) is not None:
                    ours.append(name)
        return sorted(ours)

    def identities(self, collections: Collection[str]) -> dict[str, str]:
        return self._collections.identities(collections)

    @operation
    def drop(self, collection: str) -> None:
        """Remove a collection of any identity. Raises IdentityMismatch if facesearch did not make it."""
        try:
            remembered = self._collections.remembered(collection)
        except Missing:
            return
        if remembered is None:
            raise IdentityMismatch(f"collection {collection} was not made by facesearch: it stays")
        self._collections.drop(collection)

    def compact(self, collection: str, rest: Callable[[], None]) -> bool:  # noqa: ARG002 -- the interface's
        return False

    def check(self) -> None:
        # Any answer will do; unlike the server's /readyz, this call needs the right API key.
        with self._retries.operation(at_most_s=CHECK_S):
            self._retries.call(lambda: self._client.collection_exists("facesearch"))

    def check_room(self) -> None:
        """Do nothing: a server shows that its disk is full only by refusing a write."""

    def close(self) -> None:
        self._collections.close()

    @operation
    def _counts(self, collection: str) -> Counts:
        try:
            persons = self.count(collection)
            several = self._collections.with_several_faces(collection) if persons else {}
            return Counts(persons, persons + sum((faces - 1) * number for faces, number in several.items()))
        except Missing:  # dropped since
            return Counts(0, 0)

    def _struct(self, point: Point, payload: dict[str, Any]) -> models.PointStruct:
        vector = {self._collections.vector_name: point.vector.tolist()}
        return models.PointStruct(id=str(point.person_id), vector=vector, payload=payload)

    def _use(self, identity: Identity, collections: Collections) -> None:
        self.identity = identity
        self._collections = collections
        self._searches = Searches(self._client, collections, self._settings)
        self._pages = Pages(self._client, collections)
