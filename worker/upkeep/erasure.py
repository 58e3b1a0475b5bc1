"""Erases what is of nobody any more: dropped face databases before their time, the bytes of removed faces, and answers
that name them.

A command does it with the service stopped; a worker does it for a command that asks (shared/erasure_request.py), while
jobs go on. Like a backup it rests after each step for RESTS times as long as the step took: the engine holds the
interpreter lock, and no job gets on meanwhile.
"""

import threading
import time
from collections.abc import Callable
from typing import Final, cast

import structlog
from pydantic import ValidationError
from redis import Redis

from shared.control import DROPPED
from shared.erasure_request import REMEMBER_S, REQUEST, Progress, Request, progress_key
from worker.store.base import Store, StoreError
from worker.upkeep.kept_answers import forget_deleted
from worker.upkeep.requests import RequestPoller

log = structlog.stdlib.get_logger(__name__)

TELL_INTERVAL_S: Final = 0.5

RESTS: Final = 2.0
"""As a backup rests (worker/upkeep/backups.py), which reads as much."""


class _GivenUpError(Exception):
    """Nobody waits for the erasure any more, or the worker ends. The text says which."""


def erase(redis: Redis, store: Store, told: Callable[[Progress], None]) -> Progress:
    """Do it all, and say how it ended: "failed" with the first reason where something could not be done; all else is
    done nevertheless. told: is told how far it is, every few milliseconds of work; what it raises ends the work.
    Raises RedisError.
    """
    return _Erasure(redis, store, told).done()


class _Erasure:
    def __init__(self, redis: Redis, store: Store, told: Callable[[Progress], None]) -> None:
        self._redis, self._store, self._told = redis, store, told
        self._progress = Progress()

    def done(self) -> Progress:
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
        """It stays due all the same: should a job in flight bring it back, the sweeper removes it again."""
        self._store.drop(collection)
        self._count(removed=1)

    def _compact(self, collection: str) -> None:
        if self._store.compact(collection, self._step):
            self._count(compacted=1)
        else:
            self._count(left=1)

    def _step(self) -> None:
        self._count(steps=1)
        self._told(self._progress)

    def _count(self, **more: int) -> None:
        counts = {name: getattr(self._progress, name) + count for name, count in more.items()}
        self._progress = self._progress.model_copy(update=counts)

    def _failed(self, error: StoreError) -> None:
        if not self._progress.reason:
            self._progress = self._progress.model_copy(update={"reason": str(error)})


class Erasures(RequestPoller):
    """Erases when a command asks for it."""

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
            ended = self._ended(key, text)
            self._redis.set(key, ended.model_dump_json(), ex=REMEMBER_S)
            log.info("erasure_ended", **ended.model_dump())

    def _ended(self, key: str, text: bytes) -> Progress:
        try:
            return erase(self._redis, self._store, _Telling(self._redis, key, text, self._ending).told)
        except _GivenUpError as error:
            return Progress(state="failed", reason=str(error))
        except Exception as error:
            log.exception("erasure_crashed")
            return Progress(state="failed", reason=f"{type(error).__name__}; the worker's log has the rest")


class _Telling:
    """Says how far an erasure is, and makes it rest. text: the request as it stands in Redis while somebody waits."""

    def __init__(self, redis: Redis, key: str, text: bytes, ending: threading.Event) -> None:
        self._redis, self._key, self._text, self._ending = redis, key, text, ending
        self._begun = self._said = time.monotonic()

    def told(self, progress: Progress) -> None:
        """Raises _GivenUpError."""
        now = time.monotonic()
        if self._ending.wait(RESTS * (now - self._begun)):
            raise _GivenUpError("the worker was stopped")
        if now - self._said >= TELL_INTERVAL_S:
            if self._redis.get(REQUEST) != self._text:
                raise _GivenUpError("nobody waits for it any more")
            self._redis.set(self._key, progress.model_dump_json(), ex=REMEMBER_S)
            self._said = now
        self._begun = time.monotonic()
