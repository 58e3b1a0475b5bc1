"""Work that a command asks for by a key in Redis, and one of the workers does beside its jobs."""

import threading
from abc import ABC, abstractmethod
from typing import Final, cast

from redis import Redis

from worker.periodic import Periodic

LOOK_INTERVAL_S: Final = 1.0
"""An operator waits for it; looking is one GET."""


class Requested(ABC):
    """Looks every LOOK_INTERVAL_S. name: of the thread. request: the key under which it is asked for."""

    def __init__(self, name: str, redis: Redis, request: str) -> None:
        self._redis = redis
        self._request = request
        self._ending = threading.Event()
        self._looking = Periodic(name, self.look, LOOK_INTERVAL_S)

    def start(self) -> None:
        self._ending.clear()
        self._looking.start()

    def stop(self) -> None:
        """Work that goes on ends as failed."""
        self._ending.set()
        self._looking.stop()

    def look(self) -> None:
        """Do what is asked for, if anything is and no worker does it. Raises RedisError."""
        text = cast("bytes | None", self._redis.get(self._request))
        if text is not None:
            self._do(text)

    @abstractmethod
    def _do(self, text: bytes) -> None:
        """text: the request as it stands in Redis for as long as somebody waits."""
