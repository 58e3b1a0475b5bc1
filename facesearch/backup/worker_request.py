"""Requests of commands to a worker, and waiting for their end. shared/worker_request.py has the protocol."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final, Generic, TypeVar, cast

from redis import Redis

from shared import backup_request, confidence, erasure_request, import_request
from shared.errors import OperatorError
from shared.heartbeat import read_heartbeats
from shared.worker_request import LEASE_S, RENEW, RENEW_EVERY_S, SILENT_S, Progress, Request, progress_key

POLL_S: Final = 0.1

P = TypeVar("P", bound=Progress)


@dataclass(frozen=True)
class Kind(Generic[P]):
    """A kind of request: its keys, how its progress is read, and the words that the operator reads. busy: the state of
    another request of the kind. past: what the worker did. retry: what to do after a failure. failed: stands before the
    reason of a failure.
    """

    request_key: str
    parse: Callable[[bytes], P]
    noun: str
    busy: str
    past: str
    retry: str
    failed: str


BACKUP: Final = Kind(
    backup_request.REQUEST,
    backup_request.Progress.model_validate_json,
    noun="backup",
    busy="is being written",
    past="wrote the faces",
    retry="back up again",
    failed="the worker could not write the faces",
)

EXPORT: Final = replace(BACKUP, noun="export", retry="export again")
"""Asks for the same as a backup, so one of the two waits for the other."""

ERASURE: Final = Kind(
    erasure_request.REQUEST,
    erasure_request.Progress.model_validate_json,
    noun="erasure",
    busy="is under way",
    past="erased",
    retry="erase again",
    failed="not everything could be erased; mend this and erase again",
)


ESTIMATE: Final = Kind(
    confidence.REQUEST,
    confidence.Progress.model_validate_json,
    noun="estimate",
    busy="is being made",
    past="looked at the faces",
    retry="ask again",
    failed="there is no estimate",
)

IMPORT: Final = Kind(
    import_request.REQUEST,
    import_request.Progress.model_validate_json,
    noun="import",
    busy="is under way",
    past="imported",
    retry="import again",
    failed="not everything was imported; mend this and import again",
)


def alive(redis: Redis) -> bool:
    """Return whether there is a worker. Raises RedisError."""
    return any(read_heartbeats(redis).values())


@contextmanager
def requested(
    redis: Redis,
    kind: Kind[P],
    request: Request,
    show: Callable[[P], None],
) -> Iterator[Callable[[], P]]:
    """Hold the request in Redis for the block, in which no other request of the kind can be made. Yields a function
    that waits for the end and returns the last progress. show: called with each progress, also the last.

    Raises OperatorError while there is another request of the kind. The function raises RedisError, and OperatorError
    when the request fails or no worker goes on with it.
    """
    text = request.model_dump_json()
    if not redis.set(kind.request_key, text, nx=True, ex=LEASE_S):
        raise OperatorError(f"another {kind.noun} of this service {kind.busy}; wait for its end and try again")
    try:
        yield _Wait(redis, kind, progress_key(kind.request_key, request.id), text, show)
    finally:
        redis.eval(RENEW, 1, kind.request_key, text, 0)


class _Wait(Generic[P]):
    def __init__(
        self,
        redis: Redis,
        kind: Kind[P],
        progress_key: str,
        text: str,
        show: Callable[[P], None],
    ) -> None:
        self._redis, self._kind, self._progress_key, self._text = redis, kind, progress_key, text
        self._show = show
        self._renewed = self._changed = time.monotonic()
        self._last: bytes | None = None

    def __call__(self) -> P:
        kind = self._kind
        while True:
            self._renew()
            found = cast("bytes | None", self._redis.get(self._progress_key))
            now = time.monotonic()
            if found != self._last:
                self._last, self._changed = found, now
            if found is None:
                self._require_change(now, f"no worker takes the {kind.noun} up; see whether one runs, and its log")
            else:
                progress = kind.parse(found)
                if progress.state == "failed":
                    raise OperatorError(f"{kind.failed}: {progress.reason}")
                self._show(progress)
                if progress.state == "done":
                    return progress
                self._require_change(now, f"the worker that {kind.past} is gone; see its log, and {kind.retry}")
            time.sleep(POLL_S)

    def _renew(self) -> None:
        if time.monotonic() - self._renewed < RENEW_EVERY_S:
            return
        if not self._redis.eval(RENEW, 1, self._kind.request_key, self._text, LEASE_S):
            raise OperatorError(
                f"the {self._kind.noun} was held up for too long and lost its place; {self._kind.retry}"
            )
        self._renewed = time.monotonic()

    def _require_change(self, now: float, failure: str) -> None:
        if now - self._changed > SILENT_S:
            raise OperatorError(failure)
