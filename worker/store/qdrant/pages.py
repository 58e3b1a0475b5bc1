"""Reading a collection on a Qdrant server, a page at a time: all points by id, or persons by the time of adding."""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from qdrant_client import models
from qdrant_client.client_base import QdrantBase

from worker.store.attributes import ADDED, KEYS, person_of, point_of
from worker.store.base import PAGE, Person, Point, StoreError
from worker.store.paging import Stored
from worker.store.qdrant.collections import Collections
from worker.store.qdrant.layout import PERSON_ID


class Pages:
    """Reads the collections of one store in the order of their ids."""

    def __init__(self, client: QdrantBase, collections: Collections) -> None:
        self._client = client
        self._collections = collections

    def records(self, name: str, only: models.Filter | None = None) -> Iterator[models.Record]:
        """Yield the records that match the filter, with payload and vector. Each page is an operation of its own."""
        begin: Any = None

        def page() -> tuple[list[models.Record], Any]:
            return self._client.scroll(
                name,
                scroll_filter=only,
                limit=PAGE,
                offset=begin,
                with_payload=True,
                with_vectors=[self._collections.vector_name],
            )

        nothing: tuple[list[models.Record], Any] = ([], None)
        while True:
            found, begin = self._collections.read(name, page, nothing)
            yield from found
            if begin is None:
                return

    def point(self, collection: str, record: models.Record) -> Point:
        """Return the point of a record. Raises StoreError if it lacks a name, an id or a vector."""
        person_id = _person_id(collection, record)
        vectors: Any = record.vector
        try:
            vector = np.array(vectors[self._collections.vector_name], np.float32)
        except (KeyError, ValueError, TypeError):
            raise StoreError(f"{collection}: face {person_id} has no vector") from None
        return point_of(collection, person_id, record.payload or {}, vector)

    def some(self, name: str, point_ids: Sequence[str]) -> list[models.Record]:
        """Return the records of these points, as far as they are there, with payload and vector."""

        def retrieve() -> list[models.Record]:
            vectors = [self._collections.vector_name]
            return self._client.retrieve(name, [*point_ids], with_payload=True, with_vectors=vectors)

        nothing: list[models.Record] = []
        return self._collections.read(name, retrieve, nothing) if point_ids else nothing


class PersonReader:
    """A Reader of the persons in a collection. facedb: for errors. only: conditions on points."""

    def __init__(
        self,
        client: QdrantBase,
        collections: Collections,
        name: str,
        facedb: str,
        only: Sequence[models.FieldCondition],
    ) -> None:
        self._client, self._collections = client, collections
        self._name, self._facedb = name, facedb
        self._only = only

    def of_time(self, time: int, first: uuid.UUID, limit: int) -> Sequence[Stored]:
        at = models.FieldCondition(key=ADDED, range=models.Range(gte=time, lte=time))
        none = models.IsEmptyCondition(is_empty=models.PayloadField(key=ADDED))
        of_it = models.Filter(must=[at if time else none, *self._only])
        return self._stored(limit, of_it, offset=str(first))

    def from_time(self, time: int, limit: int) -> Sequence[Stored]:
        order = models.OrderBy(key=ADDED, direction=models.Direction.ASC, start_from=time)
        return self._stored(limit, models.Filter(must=[*self._only]) if self._only else None, order_by=order)

    def _stored(self, limit: int, of_them: models.Filter | None, **place: Any) -> list[Stored]:
        def scroll() -> list[models.Record]:
            found, _ = self._client.scroll(
                self._name,
                scroll_filter=of_them,
                limit=limit,
                with_payload=[*KEYS, PERSON_ID],
                with_vectors=False,
                **place,
            )
            return found

        nothing: list[models.Record] = []
        found = self._collections.read(self._name, scroll, nothing)
        return [Stored(uuid.UUID(str(record.id)), person_of_record(self._facedb, record)) for record in found]


def equal(values: Mapping[str, str | None]) -> list[models.FieldCondition]:
    """Return conditions on points: that keys of the payload have these values. Keys without a value are left out."""
    return [
        models.FieldCondition(key=key, match=models.MatchValue(value=value))
        for key, value in values.items()
        if value is not None
    ]


def person_of_record(collection: str, record: models.Record) -> Person:
    """Return the person of a record with its payload. Raises StoreError if it lacks a name or a valid id."""
    return person_of(collection, _person_id(collection, record), record.payload or {})


def _person_id(collection: str, record: models.Record) -> uuid.UUID:
    """Return the id of the person of a record. Raises StoreError if it is not valid."""
    try:
        return uuid.UUID((record.payload or {}).get(PERSON_ID, str(record.id)))
    except (ValueError, TypeError, AttributeError):
        raise StoreError(f"{collection}: point {record.id} has no valid person_id") from None
