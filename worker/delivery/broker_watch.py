"""Watches one idle connection to the broker: when it breaks, the worker ends, and its supervisor restarts it.

Celery notices a lost broker only where it waits for the next job. With all threads at work it does not wait, and a job
whose outcome cannot be stored or acknowledged keeps its thread forever (Celery and kombu 5.7): such a worker looks
connected and takes no more jobs. A new process starts from a clean state.
"""

from collections.abc import Callable
from typing import Final

import structlog
from redis import Redis, RedisError
from redis.connection import Connection

from worker.periodic import Periodic

log = structlog.stdlib.get_logger(__name__)

WATCH_S: Final = 1.0
"""Seconds between two PINGs. The answer may take as long as that of any command."""


class BrokerWatch:
    """Calls `on_lost` once when the watched connection breaks or does not answer, even if the broker is back by then.
    To be started when the broker is reachable.
    """

    def __init__(self, redis: Redis, on_lost: Callable[[], None]) -> None:
        self._pool = redis.connection_pool
        self._on_lost = on_lost
        self._connection: Connection | None = None
        self._checking = Periodic("broker_watch", self.check, WATCH_S)

    def start(self) -> None:
        """Raises redis.RedisError when the broker cannot be reached."""
        self._connection = self._pool.get_connection()
        self._checking.start()

    def stop(self) -> None:
        self._checking.stop()
        if self._connection is not None:
            self._pool.release(self._connection)
            self._connection = None

    def check(self) -> None:
        """Send one PING."""
        if self._connection is None:
            return
        try:
            # Not `connection.connect()` nor a client's ping(): both would connect again and hide the loss.
            self._connection.send_command("PING", check_health=False)  # type: ignore[no-untyped-call]
            self._connection.read_response()
        except (RedisError, OSError) as error:
            log.error("broker_lost", error=type(error).__name__)  # noqa: TRY400 -- a traceback would add nothing
            self._pool.release(self._connection)
            self._connection = None
            self._on_lost()
