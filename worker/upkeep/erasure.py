"""Erasure: removes dropped face databases at once, the bytes of removed faces, and kept answers that name them.

A command does it while the service is stopped; a worker does it for a command (shared/erasure_request.py) while jobs go
on, with a rest after each step.
"""

from collections.abc import Callable
from typing import Final, cast

from redis import Redis

from shared.control import DROPPED
from shared.erasure_request import REQUEST, Progress
from shared.worker_request import Request
from worker.store.base import Store, StoreError
from worker.upkeep.kept_answers import forget_deleted
from worker.upkeep.requests import Events, ProgressReport, RequestPoller

EVENTS: Final = Events("erasure_begun", "erasure_ended", "erasure_crashed", "erasure_not_understood")


def erase(redis: Redis, store: Store, report: Callable[[Progress], None]) -> Progress:
    """Erase, and return how it ended: "failed" with the first reason if something could not be erased; everything else
    is erased nevertheless. report: called with the progress every few milliseconds of work; an exception of it ends the
    work. Raises RedisError.
    """
    return _Erasure(redis, store, report).run()


class _Erasure:
    def __init__(self, redis: Redis, store: Store, report: Callable[[Progress], None]) -> None:
        self._redis, self._store, self._report = redis, store, report
        self._progress = Progress()

    def run(self) -> Progress:
        dropped = [member.decode() for member in cast("list[bytes]", self._redis.zrange(DROPPED, 0, -1))]
        try:
            collections = [name for name in self._store.collections() if name not in dropped]
        except StoreError as error:
            collections = []
            self._failed(error)
        self._progress = self._progress.model_copy(update={"total": len(dropped) + len(collections)})
        for collection in dropped:
            self._attempt(self._remove, collection)
        for collection in collections:
            self._attempt(self._compact, collection)
        try:
            self._count(answers=forget_deleted(self._redis, self._store, self._step))
        except StoreError as error:
            self._failed(error)
        return self._progress.model_copy(update={"state": "failed" if self._progress.reason else "done"})

    def _attempt(self, do: Callable[[str], None], collection: str) -> None:
        try:
            do(collection)
        except StoreError as error:
            self._failed(error)
        self._step()

    def _remove(self, collection: str) -> None:
        """Remove a dropped collection. It stays due, so that the sweeper removes what a job in flight adds to it."""
        self._store.drop(collection)
        self._count(removed=1)

    def _compact(self, collection: str) -> None:
        if self._store.compact(collection, self._step):
            self._count(compacted=1)
        else:
            self._count(left=1)

    def _step(self) -> None:
        self._count(steps=1)
        self._report(self._progress)

    def _count(self, **more: int) -> None:
        counts = {name: getattr(self._progress, name) + count for name, count in more.items()}
        self._progress = self._progress.model_copy(update=counts)

    def _failed(self, error: StoreError) -> None:
        if not self._progress.reason:
            self._progress = self._progress.model_copy(update={"reason": str(error)})


class Erasures(RequestPoller[Request, Progress]):
    """Carries out requested erasures."""

    def __init__(self, redis: Redis, store: Store) -> None:
        super().__init__("erasures", EVENTS, redis, REQUEST, Request, Progress())
        self._store = store

    def _carry_out(self, request: Request, report: ProgressReport) -> Progress:  # noqa: ARG002 -- it asks for no more
        def step(progress: Progress) -> None:
            report.rest()
            report.write(progress)
            report.begin()

        return erase(self._redis, self._store, step)
