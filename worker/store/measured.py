"""A store whose calls are timed and whose failures are counted."""

import uuid
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from worker.store.base import Match, Point, Store, Vector


class MeasuredStore:
    """A Store that is another one; `measure` gives a block for the operation of that name. What jobs do is measured,
    what operators and periodic checks do is not.
    """

    def __init__(self, store: Store, measure: Callable[[str], AbstractContextManager[None]]) -> None:
        self.identity = store.identity
        self.collections = store.collections
        self.points = store.points
        self.count = store.count
        self.strangers = store.strangers
        self.drop = store.drop
        self.check = store.check
        self.close = store.close
        self._store = store
        self._measure = measure

    def add(self, collection: str, points: Sequence[Point]) -> None:
        with self._measure("add"):
            self._store.add(collection, points)

    def search(self, collection: str, vector: Vector, limit: int, min_cosine: float) -> list[Match]:
        with self._measure("search"):
            return self._store.search(collection, vector, limit, min_cosine)

    def contains(self, collection: str, person_id: uuid.UUID) -> bool:
        with self._measure("contains"):
            return self._store.contains(collection, person_id)

    def delete(self, collection: str, person_id: uuid.UUID) -> None:
        with self._measure("delete"):
            self._store.delete(collection, person_id)
