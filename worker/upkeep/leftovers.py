"""Removes what migrations of face databases leave: collections that are not searched any more, once no job in flight
can write to them.

Every worker does. If two remove the same collection at once, the second finds nothing.
"""

from typing import Final

import structlog
from redis import Redis

from shared.control.migrations import forget_leftover, read_migrations
from worker.periodic import Periodic
from worker.store.base import Store, StoreError

log = structlog.stdlib.get_logger(__name__)

SWEEP_INTERVAL_S: Final = 5.0


class Leftovers:
    """Removes leftovers that are due, every SWEEP_INTERVAL_S. store: with the names of stored collections."""

    def __init__(self, redis: Redis, store: Store) -> None:
        self._redis = redis
        self._store = store
        self._sweeping = Periodic("leftovers", self.sweep, SWEEP_INTERVAL_S)

    def start(self) -> None:
        self._sweeping.start()

    def stop(self) -> None:
        self._sweeping.stop()

    def sweep(self) -> None:
        """Remove every leftover that is due. What cannot be removed stays due. Raises RedisError."""
        seconds, _ = self._redis.time()  # the clock by which it was given up
        for collection, migration in read_migrations(self._redis).items():
            for left in migration.leftovers:
                if left.due > seconds:
                    continue
                try:
                    self._store.drop(left.name)
                except StoreError as error:
                    log.warning("collection_not_removed", collection=left.name, reason=str(error))
                    continue
                forget_leftover(self._redis, collection, left.name)
                log.info("collection_removed", collection=left.name)
