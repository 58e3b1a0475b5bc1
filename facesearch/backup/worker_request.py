"""Waits for what a worker was asked to do through Redis: shared/backup_request.py and shared/erasure_request.py say
how.
"""

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Generic, Protocol, TypeVar, cast

from redis import Redis

from shared import lua
from shared.backup_request import LEASE_S, SILENT_S
from shared.errors import OperatorError
from shared.presence import said

POLL_S: Final = 0.1

SAY_EVERY_S: Final = 5.0

RENEW_EVERY_S: Final = 1.0

_RENEW: Final = lua.load(__package__, "worker_request")


class Progress(Protocol):
    """state: running, done or failed. reason: of a failure."""

    state: Any
    reason: str


P = TypeVar("P", bound=Progress)


@dataclass(frozen=True)
class Asking(Generic[P]):
    """What is asked for. request, progress: keys in Redis. text: the request as it is put there. read: makes a progress
    of what is found. line: what to say of a progress now and then. All else are words for the operator: noun: "backup".
    busy: what another one is. did: what the worker did. again: what to do when it was lost. failed: what stands before
    the reason of a failure.
    """

    request: str
    progress: str
    text: str
    read: Callable[[bytes], P]
    line: Callable[[P], str]
    noun: str
    busy: str
    did: str
    again: str
    failed: str


def new_id() -> str:
    return uuid.uuid4().hex


def alive(redis: Redis) -> bool:
    """Whether there is a worker. Raises RedisError."""
    return any(said(redis).values())


@contextmanager
def asking_for(redis: Redis, asking: Asking[P], say: Callable[[str], None]) -> Iterator[Callable[[], P]]:
    """Ask; nobody else can ask for the like inside. What it yields waits, and raises RedisError, and OperatorError when
    it does not come to an end.
    """
    if not redis.set(asking.request, asking.text, nx=True, ex=LEASE_S):
        raise OperatorError(f"another {asking.noun} of this service {asking.busy}; wait for its end and try again")
    try:
        yield _Waiting(redis, asking, say).wait
    finally:
        redis.eval(_RENEW, 1, asking.request, asking.text, 0)


class _Waiting(Generic[P]):
    def __init__(self, redis: Redis, asking: Asking[P], say: Callable[[str], None]) -> None:
        self._redis, self._asking, self._say = redis, asking, say
        self._renewed = self._said = self._changed = time.monotonic()
        self._last: bytes | None = None

    def wait(self) -> P:
        asking = self._asking
        while True:
            self._renew()
            found = cast("bytes | None", self._redis.get(asking.progress))
            now = time.monotonic()
            if found != self._last:
                self._last, self._changed = found, now
            if found is None:
                self._require_sign(now, f"no worker takes the {asking.noun} up; see whether one runs, and its log")
            else:
                progress = asking.read(found)
                if progress.state == "failed":
                    raise OperatorError(f"{asking.failed}: {progress.reason}")
                if progress.state == "done":
                    return progress
                self._require_sign(now, f"the worker that {asking.did} is gone; see its log, and {asking.again}")
                self._tell(progress, now)
            time.sleep(POLL_S)

    def _renew(self) -> None:
        if time.monotonic() - self._renewed < RENEW_EVERY_S:
            return
        if not self._redis.eval(_RENEW, 1, self._asking.request, self._asking.text, LEASE_S):
            raise OperatorError(
                f"the {self._asking.noun} was held up for too long and lost its place; {self._asking.again}"
            )
        self._renewed = time.monotonic()

    def _require_sign(self, now: float, otherwise: str) -> None:
        if now - self._changed > SILENT_S:
            raise OperatorError(otherwise)

    def _tell(self, progress: P, now: float) -> None:
        if now - self._said >= SAY_EVERY_S:
            self._said = now
            self._say(self._asking.line(progress))
