"""Requests that a command puts into Redis and one of the workers carries out beside its jobs."""

import threading
import time
from abc import ABC, abstractmethod
from typing import Final, cast

from pydantic import BaseModel
from redis import Redis

from worker.periodic import Periodic

POLL_INTERVAL_S: Final = 1.0
"""An operator waits for it; polling is one GET."""

REPORT_INTERVAL_S: Final = 0.5

REST_FACTOR: Final = 2.0
"""Rest after each piece of work, as a multiple of its duration: Qdrant Edge holds the interpreter lock while it reads a
page, and no job gets on meanwhile. A backup of 100,000 faces beside 20 searches a second on two cores takes 12 s, in
which the median of the searches grows from 34 to 36 ms; with a factor of 1 it takes 7 s, and the median is 43 ms."""


class RequestPoller(ABC):
    """Polls every POLL_INTERVAL_S. name: of the thread. request: the key of the request in Redis."""

    def __init__(self, name: str, redis: Redis, request: str) -> None:
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
        if text is not None:
            self._carry_out(text)

    @abstractmethod
    def _carry_out(self, text: bytes) -> None:
        """text: the request as it stays in Redis while the command waits."""


class AbandonedError(Exception):
    """The command no longer waits, the worker ends, or the request cannot be carried out; the text is the reason."""


class ProgressReport:
    """Writes the progress of a request to Redis, and paces the work. Methods raise AbandonedError when it is to end,
    and RedisError.

    request, progress: keys in Redis. text: of the request. remember_s: how long the progress is kept.
    """

    def __init__(
        self, redis: Redis, request: str, progress: str, text: bytes, ending: threading.Event, remember_s: int
    ) -> None:
        self._redis, self._request, self._progress, self._text = redis, request, progress, text
        self._ending, self._remember_s = ending, remember_s
        self._begun = self._reported = time.monotonic()

    def begin(self) -> None:
        """Begin a piece of work."""
        self._begun = time.monotonic()

    def rest(self) -> None:
        """Rest for REST_FACTOR times as long as the piece of work took, and begin the next."""
        if self._ending.wait(REST_FACTOR * (time.monotonic() - self._begun)):
            raise AbandonedError("the worker was stopped")
        self.begin()

    def write(self, progress: BaseModel) -> None:
        """Write the progress, at most once every REPORT_INTERVAL_S."""
        if self._ending.is_set():
            raise AbandonedError("the worker was stopped")
        if time.monotonic() - self._reported < REPORT_INTERVAL_S:
            return
        if self._redis.get(self._request) != self._text:
            raise AbandonedError("nobody waits for it any more")
        self._redis.set(self._progress, progress.model_dump_json(), ex=self._remember_s)
        self._reported = time.monotonic()
