"""Requests that a command puts into Redis and one of the workers carries out beside its jobs."""

import threading
from abc import ABC, abstractmethod
from typing import Final, cast

from redis import Redis

from worker.periodic import Periodic

POLL_INTERVAL_S: Final = 1.0
"""An operator waits for it; polling is one GET."""


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
