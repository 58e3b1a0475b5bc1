"""Erasure: removes dropped face databases at once, the bytes of removed faces, and kept answers that name them.

A command does it while the service is stopped; a worker does it for a command (shared/erasure_request.py) while jobs go
on, with a rest after each step.
"""

from collections.abc import Callable
from typing import cast

import structlog
from pydantic import ValidationError
from redis import Redis

from shared.control import DROPPED
from shared.erasure_request import REMEMBER_S, REQUEST, Progress, Request, progress_key
from worker.store.base import Store, StoreError
from worker.upkeep.kept_answers import forget_deleted
from worker.upkeep.requests import AbandonedError, ProgressReport, RequestPoller

log = structlog.stdlib.get_logger(__name__)


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
        for member in cast("list[bytes]", self._redis.zrange(DROPPED, 0, -1)):
            self._attempt(self._remove, member.decode())
        try:
            collections = self._store.collections()
        except StoreError as error:
            collections = []
            self._failed(error)
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


class Erasures(RequestPoller):
    """Carries out requested erasures."""

    def __init__(self, redis: Redis, store: Store) -> None:
        super().__init__("erasures", redis, REQUEST)
        self._store = store

    def _carry_out(self, text: bytes) -> None:
        try:
            key = progress_key(Request.model_validate_json(text).id)
        except ValidationError:
            log.warning("erasure_not_understood")
            return
        if self._redis.set(key, Progress().model_dump_json(), nx=True, ex=REMEMBER_S):
            log.info("erasure_begun")
            ended = self._run(ProgressReport(self._redis, REQUEST, key, text, self._ending, REMEMBER_S))
            self._redis.set(key, ended.model_dump_json(), ex=REMEMBER_S)
            log.info("erasure_ended", **ended.model_dump())

    def _run(self, report: ProgressReport) -> Progress:
        def step(progress: Progress) -> None:
            report.rest()
            report.write(progress)
            report.begin()

        try:
            return erase(self._redis, self._store, step)
        except AbandonedError as error:
            return Progress(state="failed", reason=str(error))
        except Exception as error:
            log.exception("erasure_crashed")
            return Progress(state="failed", reason=f"{type(error).__name__}; the worker's log has the rest")
