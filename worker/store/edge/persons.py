"""Persons in a shard of Qdrant Edge, which orders them by an index of their times of adding."""

import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import qdrant_edge as engine

from worker.store.attributes import ADDED, KEYS, person_of, point_of
from worker.store.base import Point, StoreError
from worker.store.paging import Stored


class PersonReader:
    """A Reader of one collection. read: carries out a request. equal: values that attributes of a person must have."""

    def __init__(
        self,
        collection: str,
        read: Callable[[engine.ScrollRequest], Sequence[engine.Record]],
        equal: Mapping[str, str],
    ) -> None:
        self._collection = collection
        self._read = read
        self._equal: list[Any] = [
            engine.FieldCondition(key=key, match=engine.MatchValue(value)) for key, value in equal.items()
        ]

    def of_time(self, time: int, first: uuid.UUID, limit: int) -> Sequence[Stored]:
        at = engine.FieldCondition(key=ADDED, range=engine.RangeFloat(gte=time, lte=time))
        of_it = engine.Filter(must=[at if time else engine.IsEmptyCondition(ADDED), *self._equal])
        return self._stored(
            engine.ScrollRequest(offset=str(first), limit=limit, filter=of_it, with_payload=[*KEYS], with_vector=False)
        )

    def from_time(self, time: int, limit: int) -> Sequence[Stored]:
        order = engine.OrderBy(ADDED, engine.Direction.Asc, time)
        of_them = engine.Filter(must=self._equal) if self._equal else None
        return self._stored(
            engine.ScrollRequest(order_by=order, limit=limit, filter=of_them, with_payload=[*KEYS], with_vector=False)
        )

    def _stored(self, request: engine.ScrollRequest) -> list[Stored]:
        records = ((uuid.UUID(str(record.id)), record.payload or {}) for record in self._read(request))
        return [Stored(person_id, person_of(self._collection, person_id, payload)) for person_id, payload in records]


def point_of_record(collection: str, record: engine.Record) -> Point:
    """Return the point of a record with payload and vector. Raises StoreError if it was damaged."""
    person_id = uuid.UUID(str(record.id))
    if not isinstance(record.vector, list):
        raise StoreError(f"{collection}: face {person_id} has no vector")
    return point_of(collection, person_id, record.payload or {}, np.array(record.vector, np.float32))


def unchanged(read: Point) -> engine.Filter:
    """Return the filter for a point as long as it is as it was read."""
    conditions: list[Any] = [engine.HasIdCondition({str(read.person_id)})]
    for key, value in (read.as_read or {}).items():
        is_value = engine.FieldCondition(key=key, match=engine.MatchValue(value)) if value is not None else None
        conditions.append(is_value or engine.IsEmptyCondition(key))
    return engine.Filter(must=conditions)
