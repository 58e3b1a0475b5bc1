"""A broker that is full takes no write that needs memory. A worker lives on beside it, does what it can, and is whole
again as soon as there is room.

Celery and kombu (5.7) know no such state: a job whose outcome cannot be stored keeps its place for ever, one that
cannot be noted ends the process, and each look for jobs of dead workers is a traceback. What needs no memory still
works: to take a job, to acknowledge it, and to publish its outcome to the gateway that waits for it.
"""

import time
from collections.abc import Callable
from typing import Any, Final

import structlog
from redis import Redis
from redis.exceptions import OutOfMemoryError

log = structlog.stdlib.get_logger(__name__)

SAY_AGAIN_S: Final = 10.0
"""How often the log says that the broker is full: /readyz and an alert say it too."""

HINT: Final = "see FacesearchBrokerMemory in docs/operations.md"

_ROOM: Final = "fs:room"
"""A key that is written to know whether anything can be; it expires at once."""


class FullBroker:
    """What is done instead of what a full broker refuses."""

    def __init__(self) -> None:
        self._said = float("-inf")

    def keep_publishing(self, app: Any) -> None:
        """Let a Celery application publish an outcome that cannot be stored: a gateway that reads what it missed after
        a lost connection does not find it, and the caller repeats the request.
        """
        make = app._get_backend  # noqa: SLF001 -- Celery has no public way; a test tells when it changes

        def made() -> Any:  # for each thread
            backend = make()
            store = backend._set  # noqa: SLF001 -- see above

            def stored(key: str, value: Any, expires: Any = None) -> None:
                try:
                    store(key, value, expires)
                except OutOfMemoryError:
                    self._say()
                    backend.client.publish(key, value)

            backend._set = stored  # noqa: SLF001 -- see above
            return backend

        app._get_backend = made  # noqa: SLF001 -- see above

    def keep_taking(self, *channels: Any) -> None:
        """Let channels of kombu's Redis transport take a job that cannot be noted as taken: if this worker is killed
        now, its gateway notices that nobody has it. Jobs of dead workers are looked for when there is room again.
        """
        for channel in channels:
            self._keep_taking(channel.qos)

    def _keep_taking(self, qos: Any) -> None:
        append, restore = qos.append, qos.restore_visible

        def appended(message: Any, delivery_tag: str) -> None:
            try:
                append(message, delivery_tag)
            except OutOfMemoryError:
                self._say()
                in_this_process: Any = super(type(qos), qos)
                in_this_process.append(message, delivery_tag)

        def restored(*args: Any, **kwargs: Any) -> None:
            try:
                restore(*args, **kwargs)
            except OutOfMemoryError:
                self._say()

        qos.append, qos.restore_visible = appended, restored

    def _say(self) -> None:
        now = time.monotonic()
        if now - self._said >= SAY_AGAIN_S:
            self._said = now
            log.error("broker_full", hint=HINT)


def await_room(redis: Redis, give_up: Callable[[], None], again_s: float) -> None:
    """Return once the broker takes a write. give_up: called between two tries; what it raises ends the wait. Raises
    redis.RedisError when it is not there.
    """
    told = False
    while True:
        try:
            redis.set(_ROOM, "", px=1)
        except OutOfMemoryError:
            if not told:
                log.error("broker_full", hint=HINT)  # noqa: TRY400 -- that says it
            told = True
        else:
            return
        give_up()
        time.sleep(again_s)
