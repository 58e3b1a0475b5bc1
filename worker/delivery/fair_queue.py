"""The worker's announcement of its threads to the fair queue (shared/fair_queue/)."""

import uuid
from contextlib import suppress

from redis import Redis, RedisError

from shared.fair_queue import ANNOUNCE, extra_threads
from shared.heartbeat import HEARTBEAT_INTERVAL_S, HEARTBEAT_TTL_S
from worker.periodic import Periodic


class FairQueueClient:
    """Announces, from start to stop, how many jobs this worker does at once.

    threads: the ordinary ones; the worker has `extra_threads` more for tenants that have no running job.
    """

    def __init__(self, redis: Redis, threads: int) -> None:
        self._threads = threads
        self._id = uuid.uuid4().hex
        self._announce = redis.register_script(ANNOUNCE)
        self._announcing = Periodic("fair_queue", self.announce, HEARTBEAT_INTERVAL_S)

    def start(self) -> None:
        with suppress(RedisError):
            self.announce()
        self._announcing.start()

    def stop(self) -> None:
        """Withdraw the announcement, so that jobs are released for the other workers only."""
        self._announcing.stop()
        with suppress(RedisError):
            self._announce_threads(0)

    def announce(self) -> None:
        """Announce once, which also releases waiting jobs. Raises redis.RedisError."""
        self._announce_threads(self._threads)

    def _announce_threads(self, threads: int) -> None:
        extra = extra_threads(threads) if threads else 0
        self._announce(args=[self._id, threads, extra, HEARTBEAT_TTL_S])
