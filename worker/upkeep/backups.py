"""Writes the faces of a backup for a command that asks (shared/backup_request.py), while jobs go on.

Qdrant Edge holds the interpreter lock while it reads a page, and making lines of it takes the lock again. So pages are
small, and after each the thread rests for RESTS times as long as the page took.
"""

import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import structlog
from pydantic import ValidationError
from redis import Redis

from shared.backup_request import REMEMBER_S, REQUEST, Progress, Request, faces_path, progress_key
from worker.store import faces_file
from worker.store.base import PAGE, Point, Store, StoreError
from worker.upkeep.requests import RequestPoller

log = structlog.stdlib.get_logger(__name__)

TELL_INTERVAL_S: Final = 0.5

RESTS: Final = 2.0
"""Of 100,000 faces, with 20 searches a second on two cores: 12 s, in which the median of the searches grows from 34 to
36 ms. Resting as long as the page took: 7 s and 43 ms."""


class _GivenUpError(Exception):
    """Nobody waits for the backup any more, the worker ends, or the folder is none of its own. The text says which."""


class Backups(RequestPoller):
    """Writes the faces of a backup when a command asks for it. handover: the folder below which it may write."""

    def __init__(self, redis: Redis, store: Store, handover: Path) -> None:
        super().__init__("backups", redis, REQUEST)
        self._store = store
        self._handover = handover

    def _carry_out(self, text: bytes) -> None:
        try:
            request = Request.model_validate_json(text)
        except ValidationError:
            log.warning("backup_not_understood")
            return
        key = progress_key(request.id)
        if self._redis.set(key, Progress().model_dump_json(), nx=True, ex=REMEMBER_S):
            log.info("backup_begun", collections=len(request.collections))
            ended = _Backup(self._redis, self._store, self._handover, request, text, self._ending).write()
            self._redis.set(key, ended.model_dump_json(), ex=REMEMBER_S)
            log.info("backup_ended", **ended.model_dump())


class _Backup:
    """The faces of one request. text: the request as it stands in Redis for as long as somebody waits."""

    def __init__(
        self, redis: Redis, store: Store, handover: Path, request: Request, text: bytes, ending: threading.Event
    ) -> None:
        self._redis, self._store, self._handover = redis, store, handover
        self._request, self._text = request, text
        self._ending = ending
        self._collections = self._faces = 0
        self._told = time.monotonic()

    def write(self) -> Progress:
        """How it ended. Raises RedisError."""
        try:
            folder = self._made()
            for collection in self._request.collections:
                path = faces_path(folder, collection)
                faces_file.write(path, collection, self._store.identity, self._paced(self._store.points(collection)))
                self._collections += 1
                self._tell()
        except OSError as error:
            return self._failed(f"cannot write to {self._request.folder} ({error.strerror})")
        except (StoreError, _GivenUpError) as error:
            return self._failed(str(error))
        except Exception as error:
            log.exception("backup_crashed")
            return self._failed(f"{type(error).__name__}; the worker's log has the rest")
        return self._progress().model_copy(update={"state": "done"})

    def _made(self) -> Path:
        """The folder, made for its owner alone. Raises _GivenUpError unless it is to be a new one below the handover
        folder, wherever links lead; and OSError.
        """
        above, folder = self._handover.resolve(), Path(self._request.folder).resolve()
        if above not in folder.parents:
            raise _GivenUpError(
                f"it writes below {above} alone, its FACESEARCH_BACKUP_DIR or `handover` in its data directory; "
                "name the same one to the command, by that setting or by --data-dir"
            )
        above.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.mkdir(mode=0o700)
        return folder

    def _paced(self, points: Iterable[Point]) -> Iterator[Point]:
        begun = time.monotonic()
        for number, point in enumerate(points, 1):
            yield point
            self._faces += 1
            if number % PAGE == 0:
                self._tell()
                self._ending.wait(RESTS * (time.monotonic() - begun))
                begun = time.monotonic()

    def _tell(self) -> None:
        """Raises _GivenUpError."""
        if self._ending.is_set():
            raise _GivenUpError("the worker was stopped")
        if time.monotonic() - self._told < TELL_INTERVAL_S:
            return
        if self._redis.get(REQUEST) != self._text:
            raise _GivenUpError("nobody waits for it any more")
        self._redis.set(progress_key(self._request.id), self._progress().model_dump_json(), ex=REMEMBER_S)
        self._told = time.monotonic()

    def _progress(self) -> Progress:
        return Progress(collections=self._collections, faces=self._faces)

    def _failed(self, reason: str) -> Progress:
        return self._progress().model_copy(update={"state": "failed", "reason": reason})
