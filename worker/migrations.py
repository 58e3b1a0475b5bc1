"""The migrations of face databases (shared/control/migrations.py), as a worker reads them."""

import time
from collections.abc import Mapping
from typing import Final

from redis import Redis, RedisError

from shared.control.migrations import Migration, read_migrations
from worker.store.base import StoreUnavailable

KEPT_S: Final = 1.0
"""Seconds for which what was read is used again. A worker that does not know of a switch yet searches the former
collection, and writes to both, as all do: nothing is lost by it."""


class Migrations:
    """Safe to use from several threads: two that read at the same time read the same."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._read: tuple[float, Mapping[str, Migration]] = (0.0, {})

    def __call__(self) -> Mapping[str, Migration]:
        """Return every migration by the collection of its facedb. Raises StoreUnavailable while the broker does not
        answer, or if a record is damaged.
        """
        until, found = self._read
        if time.monotonic() >= until:
            try:
                found = read_migrations(self._redis)
            except (RedisError, ValueError) as error:
                raise StoreUnavailable(f"migrations cannot be read: {type(error).__name__}") from error
            self._read = (time.monotonic() + KEPT_S, found)
        return found
