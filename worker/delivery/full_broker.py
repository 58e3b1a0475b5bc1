"""A full broker refuses each write that needs memory. A worker survives that and recovers once there is memory again.

Celery and kombu (5.7) do not expect it: a job whose outcome cannot be stored keeps its thread forever, a job that
cannot be noted as taken ends the process, and each search for jobs of dead workers is a traceback. Three things need no
memory and still work: taking a job, acknowledging it, and publishing its outcome to the gateway that waits for it.

`publish_outcomes` here changes how outcomes are stored; worker/delivery/channel.py changes how jobs are taken.
"""

import time
from typing import Any, Final

import structlog
from redis.exceptions import OutOfMemoryError

log = structlog.stdlib.get_logger(__name__)

REPORT_INTERVAL_S: Final = 10.0
"""Seconds between two log lines that say that the broker is full: /readyz and an alert report it, too."""

HINT: Final = "see FacesearchBrokerMemory in docs/run-book-load.md"


class FullBrokerLog:
    """Logs `broker_full` at most once in REPORT_INTERVAL_S."""

    def __init__(self) -> None:
        self._reported = float("-inf")

    def report(self) -> None:
        now = time.monotonic()
        if now - self._reported >= REPORT_INTERVAL_S:
            self._reported = now
            log.error("broker_full", hint=HINT)


def publish_outcomes(app: Any, full: FullBrokerLog) -> None:
    """Have a Celery application publish an outcome that it cannot store. A gateway that was not subscribed at that time
    does not find it, and the caller repeats the request.
    """
    get_backend = app._get_backend  # noqa: SLF001 -- Celery has no public way; a test fails when it changes

    def get_publishing_backend() -> Any:  # called once in each thread
        backend = get_backend()
        store = backend._set  # noqa: SLF001 -- see above

        def store_or_publish(key: str, value: Any, expires: Any = None) -> None:
            try:
                store(key, value, expires)
            except OutOfMemoryError:
                full.report()
                backend.client.publish(key, value)

        backend._set = store_or_publish  # noqa: SLF001 -- see above
        return backend

    app._get_backend = get_publishing_backend  # noqa: SLF001 -- see above
