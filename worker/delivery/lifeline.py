"""One connection to the broker that is only watched: when it breaks, the worker has lost the broker and ends.

Celery notices a lost broker where it waits for the next job. With all its threads at work it does not wait, and a job
whose outcome cannot be stored or acknowledged keeps its place for ever (Celery and kombu 5.7): such a worker looks
connected and takes no job any more. A process that was started anew is whole.
"""

from collections.abc import Callable
from typing import Final

import structlog
from redis import Redis, RedisError
from redis.connection import Connection

from worker.periodic import Periodic

log = structlog.stdlib.get_logger(__name__)

WATCH_S: Final = 1.0
"""How often the broker is asked for a sign of life. It has as long to give one as for any command."""


class Lifeline:
    """Calls `lost` once when the broker does not answer, or answers on another connection only. To be started when the
    broker is there.
    """

    def __init__(self, redis: Redis, lost: Callable[[], None]) -> None:
        self._pool = redis.connection_pool
        self._lost = lost
        self._connection: Connection | None = None
        self._watching = Periodic("lifeline", self.watch, WATCH_S)

    def start(self) -> None:
        """Raises redis.RedisError when the broker is not there."""
        self._connection = self._pool.get_connection()
        self._watching.start()

    def stop(self) -> None:
        self._watching.stop()
        if self._connection is not None:
            self._pool.release(self._connection)
            self._connection = None

    def watch(self) -> None:
        """Ask once."""
        if self._connection is None:
            return
        try:
            # Not `connection.connect()`, nor a client's ping(): both would hide that the connection was another one.
            self._connection.send_command("PING", check_health=False)  # type: ignore[no-untyped-call]
            self._connection.read_response()
        except (RedisError, OSError) as error:
            log.error("broker_lost", error=type(error).__name__)  # noqa: TRY400 -- it is gone, no more to tell
            self._pool.release(self._connection)
            self._connection = None
            self._lost()
