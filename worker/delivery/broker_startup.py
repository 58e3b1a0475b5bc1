"""Waiting for the broker at the start of a worker: orchestrators start processes in any order."""

import time
from collections.abc import Callable
from typing import Final

import structlog
from redis import Redis, RedisError
from redis.exceptions import OutOfMemoryError

from shared.redis_url import WAITING
from worker.delivery.full_broker import HINT

log = structlog.stdlib.get_logger(__name__)

RETRY_S: Final = 0.5

_PROBE: Final = "fs:room"
"""A key that is written to learn whether the broker takes writes; it expires at once."""


def await_broker(redis: Redis, where: str, give_up: Callable[[], None]) -> None:
    """Return once the broker answers and takes writes.

    where: the broker's address, for the log. give_up: called between two tries; an exception of it ends the wait.
    """
    reported = False
    while True:
        try:
            redis.ping()
            _await_memory(redis, give_up)
        except (RedisError, OSError) as error:
            if not reported:
                log.warning("broker_not_reached", broker=where, error=type(error).__name__, hint=WAITING)
            reported = True
        else:
            if reported:
                log.info("broker_reached", broker=where)
            return
        give_up()
        time.sleep(RETRY_S)


def _await_memory(redis: Redis, give_up: Callable[[], None]) -> None:
    """Return once the broker has memory for a write. Raises redis.RedisError when it cannot be reached."""
    reported = False
    while True:
        try:
            redis.set(_PROBE, "", px=1)
        except OutOfMemoryError:
            if not reported:
                log.error("broker_full", hint=HINT)  # noqa: TRY400 -- a traceback would add nothing
            reported = True
        else:
            return
        give_up()
        time.sleep(RETRY_S)
