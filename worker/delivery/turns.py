"""What a worker says to the fair queue (shared/fair_queue/): how many jobs it takes at once, and when one is done."""

import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import structlog
from redis import Redis, RedisError

from shared.fair_queue import ANNOUNCE, DONE, TENANT, extra_threads
from shared.presence import PRESENCE_INTERVAL_S, PRESENCE_TTL_S
from worker.periodic import Periodic

log = structlog.stdlib.get_logger(__name__)


class Turns:
    """threads: jobs that the worker does at once; it takes `extra_threads` more of tenants none of whose jobs run."""

    def __init__(self, redis: Redis, threads: int) -> None:
        self._threads = threads
        self._id = uuid.uuid4().hex
        self._announce = redis.register_script(ANNOUNCE)
        self._done = redis.register_script(DONE)
        self._announcing = Periodic("turns", self.announce, PRESENCE_INTERVAL_S)

    def start(self) -> None:
        """Announce now, and from now on."""
        with suppress(RedisError):
            self.announce()
        self._announcing.start()

    def stop(self) -> None:
        """Jobs are released for the other workers alone."""
        self._announcing.stop()
        with suppress(RedisError):
            self._say(0)

    def announce(self) -> None:
        """Once. Jobs for which nobody has made way since are released by it, too. Raises redis.RedisError."""
        self._say(self._threads)

    @contextmanager
    def turn(self, job_id: str, headers: Mapping[str, Any]) -> Iterator[None]:
        """The block does that job, with the headers of its message. Afterwards the next job is released, before the
        worker asks for it.
        """
        tenant, start = headers.get(TENANT), time.monotonic()
        try:
            yield
        finally:
            if isinstance(tenant, str):  # else its gateway is of a release that knows no fair queue
                try:
                    self._done(args=[tenant, job_id, time.monotonic() - start])
                except RedisError as error:
                    # It counts as running until its deadline is over.
                    log.warning("turn_not_ended", job_id=job_id, error=type(error).__name__)

    def _say(self, threads: int) -> None:
        extra = extra_threads(threads) if threads else 0
        self._announce(args=[self._id, threads, extra, PRESENCE_TTL_S])
