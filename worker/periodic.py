"""A thread that runs a function at intervals."""

import threading
from collections.abc import Callable

import structlog
from redis import RedisError

log = structlog.stdlib.get_logger(__name__)


class Periodic:
    """Calls `task` when started and then every interval_s seconds until stopped, in a thread of that name.

    An exception is logged and does not end the thread. One of Redis is expected while the broker is away.
    """

    def __init__(self, name: str, task: Callable[[], object], interval_s: float) -> None:
        self._name = name
        self._task = task
        self._interval_s = interval_s
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop, and return when the thread has ended. Does nothing if it was not started."""
        if self._thread is not None:
            self._stop.set()
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        while True:
            try:
                self._task()
            except RedisError as error:
                log.debug("broker_not_reached", thread=self._name, error=type(error).__name__)
            except Exception:
                log.exception("periodic_task_crashed", thread=self._name)
            if self._stop.wait(self._interval_s):
                return
