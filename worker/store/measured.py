"""A store whose calls are measured, and which remembers whether the last add failed."""

import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Final

from worker.store.base import Match, Point, Store, StoreUnavailable, Vector

REMEMBER_S: Final = 60.0
"""Seconds for which a failed add counts as a sign that there is no room: the next add may come hours later."""


class MeasuredStore:
    """A Store that passes its calls on to another one. measure: returns a context that measures the operation of that
    name. Calls of jobs are measured, those of operators and periodic checks are not.
    """

    def __init__(self, store: Store, measure: Callable[[str], AbstractContextManager[None]]) -> None:
        self.identity = store.identity
        self.collections = store.collections
        self.points = store.points
        self.count = store.count
        self.foreign = store.foreign
        self.drop = store.drop
        self.compact = store.compact
        self.check = store.check
        self.close = store.close
        self._store = store
        self._failed: float | None = None
        self._measure = measure

    def add(self, collection: str, points: Sequence[Point]) -> None:
        with self._measure("add"):
            try:
                self._store.add(collection, points)
            except StoreUnavailable:
                self._failed = time.monotonic()
                raise
        self._failed = None

    def check_room(self) -> None:
        self._store.check_room()
        failed = self._failed
        if failed is not None and time.monotonic() - failed < REMEMBER_S:
            raise StoreUnavailable("the last add failed; job_failed in the log of the worker says why")

    def search(self, collection: str, vector: Vector, limit: int, min_cosine: float) -> list[Match]:
        with self._measure("search"):
            return self._store.search(collection, vector, limit, min_cosine)

    def contains(self, collection: str, person_id: uuid.UUID) -> bool:
        with self._measure("contains"):
            return self._store.contains(collection, person_id)

    def delete(self, collection: str, person_id: uuid.UUID) -> None:
        with self._measure("delete"):
            self._store.delete(collection, person_id)
