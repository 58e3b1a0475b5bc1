"""A store whose calls are measured, and which remembers whether the last add failed."""

import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Final

from worker.models.identity import Identity
from worker.store.base import Changes, Match, Person, Point, Position, Store, StoreUnavailable, Vector

REMEMBER_S: Final = 60.0
"""Seconds for which a failed add counts as a sign that there is no room: the next add may come hours later."""

Measure = Callable[[str], AbstractContextManager[None]]


class _LastAdd:
    """The last add under any identity. failed: when it failed, on the monotonic clock; None if it did not."""

    failed: float | None = None


class MeasuredStore:
    """A Store that passes its calls on to another one. measure: returns a context that measures the operation of that
    name. Calls of jobs are measured, those of operators and periodic checks are not.
    """

    def __init__(self, store: Store, measure: Measure, last_add: _LastAdd | None = None) -> None:
        self.identity = store.identity
        self.identity_of = store.identity_of
        self.collections = store.collections
        self.points = store.points
        self.count = store.count
        self.counts = store.counts
        self.identities = store.identities
        self.drop = store.drop
        self.compact = store.compact
        self.check = store.check
        self.close = store.close
        self._store = store
        self._measure = measure
        self._last_add = last_add or _LastAdd()
        self._others: dict[Identity, MeasuredStore] = {}

    def under(self, identity: Identity) -> "MeasuredStore":
        """Return the same object for the same identity: a store may keep something of its own for each."""
        if identity == self.identity:
            return self
        found = self._others.get(identity)
        if found is None:
            made = MeasuredStore(self._store.under(identity), self._measure, self._last_add)
            found = self._others.setdefault(identity, made)  # atomic, if two threads make one
        return found

    def add(self, collection: str, points: Sequence[Point]) -> None:
        with self._measure("add"):
            try:
                self._store.add(collection, points)
            except StoreUnavailable:
                self._last_add.failed = time.monotonic()
                raise
        self._last_add.failed = None

    def check_room(self) -> None:
        self._store.check_room()
        failed = self._last_add.failed
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

    def get(self, collection: str, person_ids: Sequence[uuid.UUID]) -> list[Point]:
        with self._measure("get"):
            return self._store.get(collection, person_ids)

    def replace(self, collection: str, read: Point, new: Point | None) -> None:
        with self._measure("replace"):
            self._store.replace(collection, read, new)

    def page(
        self,
        collection: str,
        after: Position | None,
        limit: int,
        *,
        name: str | None = None,
        external_id: str | None = None,
    ) -> list[Person]:
        with self._measure("page"):
            return self._store.page(collection, after, limit, name=name, external_id=external_id)

    def person(self, collection: str, person_id: uuid.UUID) -> Person | None:
        with self._measure("person"):
            return self._store.person(collection, person_id)

    def update(self, collection: str, person_id: uuid.UUID, changes: Changes) -> bool:
        with self._measure("update"):
            return self._store.update(collection, person_id, changes)
