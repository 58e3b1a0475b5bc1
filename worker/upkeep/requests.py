"""Requests that a command or a gateway puts into Redis and one of the workers carries out beside its jobs
(shared/worker_request.py).
"""

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar, cast

import structlog
from pydantic import BaseModel, ValidationError
from redis import Redis

from shared.worker_request import REMEMBER_S, Progress, Request, progress_key
from worker.periodic import Periodic
from worker.upkeep.pace import AbandonedError, Pace

log = structlog.stdlib.get_logger(__name__)

POLL_INTERVAL_S: Final = 1.0
"""An operator waits for it; polling is one GET."""

REPORT_INTERVAL_S: Final = 0.5

R = TypeVar("R", bound=Request)
P = TypeVar("P", bound=Progress)


@dataclass(frozen=True)
class Events:
    """The log events of a kind of request."""

    begun: str
    ended: str
    crashed: str
    not_understood: str


class RequestPoller(ABC, Generic[R, P]):
    """Polls every POLL_INTERVAL_S. name: of the thread. request: the key of the request in Redis. asked: the type of
    the request. begun: the progress of a request that was just taken.
    """

    def __init__(self, name: str, events: Events, redis: Redis, request: str, asked: type[R], begun: P) -> None:
        self._events, self._asked, self._begun = events, asked, begun
        self._redis = redis
        self._request = request
        self._ending = threading.Event()
        self._polling = Periodic(name, self.poll, POLL_INTERVAL_S)

    def start(self) -> None:
        self._ending.clear()
        self._polling.start()

    def stop(self) -> None:
        """Stop polling. A request that is being carried out ends as failed."""
        self._ending.set()
        self._polling.stop()

    def poll(self) -> None:
        """Carry out the request, if there is one that no worker has taken. Raises RedisError."""
        text = cast("bytes | None", self._redis.get(self._request))
        if text is None:
            return
        try:
            request = self._asked.model_validate_json(text)
        except ValidationError:
            log.warning(self._events.not_understood)
            return
        key = progress_key(self._request, request.id)
        if self._redis.set(key, self._begun.model_dump_json(), nx=True, ex=REMEMBER_S):
            log.info(self._events.begun, **self._about(request))
            ended = self._end(request, ProgressReport(self._redis, self._request, key, text, self._ending))
            self._redis.set(key, ended.model_dump_json(), ex=REMEMBER_S)
            log.info(self._events.ended, **self._figures(ended))

    def _end(self, request: R, report: "ProgressReport") -> P:
        try:
            return self._carry_out(request, report)
        except AbandonedError as error:
            return self._failed(str(error))
        except Exception as error:
            log.exception(self._events.crashed)
            return self._failed(f"{type(error).__name__}; the worker's log has the rest")

    def _failed(self, reason: str) -> P:
        return self._begun.model_copy(update={"state": "failed", "reason": reason})

    @abstractmethod
    def _carry_out(self, request: R, report: "ProgressReport") -> P:
        """Do what is asked and return how it ended. Raises AbandonedError, and RedisError."""

    def _about(self, request: R) -> Mapping[str, Any]:  # noqa: ARG002 -- for subclasses
        """Return what the log says of a request that is begun."""
        return {}

    def _figures(self, ended: P) -> Mapping[str, Any]:
        """Return what the log says of how it ended."""
        return ended.model_dump(exclude={"total"})


class ProgressReport(Pace):
    """Writes the progress of a request to Redis, and paces the work. Methods raise AbandonedError when it is to end,
    and RedisError.

    request, progress: keys in Redis. text: of the request.
    """

    def __init__(self, redis: Redis, request: str, progress: str, text: bytes, ending: threading.Event) -> None:
        super().__init__(ending)
        self._redis, self._request, self._progress, self._text = redis, request, progress, text
        self._reported = time.monotonic()

    def write(self, progress: BaseModel) -> None:
        """Write the progress, at most once every REPORT_INTERVAL_S."""
        if self._ending.is_set():
            raise AbandonedError("the worker was stopped")
        if time.monotonic() - self._reported < REPORT_INTERVAL_S:
            return
        if self._redis.get(self._request) != self._text:
            raise AbandonedError("nobody waits for it any more")
        self._redis.set(self._progress, progress.model_dump_json(), ex=REMEMBER_S)
        self._reported = time.monotonic()
