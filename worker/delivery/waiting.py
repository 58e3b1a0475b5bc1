"""A worker that starts before its broker waits for it, as orchestrators start things in any order, and until it has
room.
"""

import time
from collections.abc import Callable
from typing import Final

import structlog
from redis import Redis, RedisError

from shared.redis_url import WAITING
from worker.delivery.full_broker import await_room

log = structlog.stdlib.get_logger(__name__)

AGAIN_S: Final = 0.5


def await_broker(redis: Redis, where: str, give_up: Callable[[], None]) -> None:
    """Return once it answers and takes writes. where: it is, for the one line that says that it does not. give_up:
    called between two tries; what it raises ends the wait.
    """
    told = False
    while True:
        try:
            redis.ping()
            await_room(redis, give_up, AGAIN_S)
        except (RedisError, OSError) as error:
            if not told:
                log.warning("broker_not_reached", broker=where, error=type(error).__name__, hint=WAITING)
            told = True
        else:
            if told:
                log.info("broker_reached", broker=where)
            return
        give_up()
        time.sleep(AGAIN_S)
