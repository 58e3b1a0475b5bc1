"""The worker's side of the fair queue (shared/fair_queue/): it announces its threads and reports jobs as done."""

import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import structlog
from redis import Redis, RedisError

from shared.fair_queue import ANNOUNCE, DONE, TENANT, extra_threads
from shared.heartbeat import HEARTBEAT_INTERVAL_S, HEARTBEAT_TTL_S
from worker.periodic import Periodic

log = structlog.stdlib.get_logger(__name__)


class FairQueueClient:
    """Announces, from start to stop, how many jobs this worker does at once.

    threads: the ordinary ones; the worker has `extra_threads` more for tenants that have no running job.
    """

    def __init__(self, redis: Redis, threads: int) -> None:
        self._threads = threads
        self._id = uuid.uuid4().hex
        self._announce = redis.register_script(ANNOUNCE)
        self._done = redis.register_script(DONE)
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

    @contextmanager
    def job(self, job_id: str, headers: Mapping[str, Any]) -> Iterator[None]:
        """Run the block as that job, then report it as done, so that the tenant's next job is released before the
        worker asks for it. headers: those of the job's message.
        """
        tenant, start = headers.get(TENANT), time.monotonic()
        try:
            yield
        finally:
            if isinstance(tenant, str):  # gateways of releases without a fair queue send none
                try:
                    self._done(args=[tenant, job_id, time.monotonic() - start])
                except RedisError as error:
                    # It counts as running until its deadline is over.
                    log.warning("turn_not_ended", job_id=job_id, error=type(error).__name__)

    def _announce_threads(self, threads: int) -> None:
        extra = extra_threads(threads) if threads else 0
        self._announce(args=[self._id, threads, extra, HEARTBEAT_TTL_S])
