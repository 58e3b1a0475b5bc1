"""Results on their way back: one subscription per gateway, and a future for every job that is awaited.

redis-py reconnects a subscription behind one's back and what was published meanwhile is lost. Here a lost connection is
seen: we subscribe anew and then read the results of all pending jobs, which the workers store before they publish.
"""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import structlog
from pydantic import ValidationError
from redis import RedisError
from redis.asyncio import Redis

from shared.broker import RESULT_PREFIX
from shared.contract import MESSAGES, Status
from shared.jobs import Outcome

log = structlog.stdlib.get_logger(__name__)

QUIET_S: Final = 5.0
"""After so long without a message the connection is asked for a sign of life; after twice so long it is lost."""

RECONNECT_S: Final = 0.2

_FINAL_STATES: Final = frozenset({"SUCCESS", "FAILURE", "REVOKED"})
_EXPIRED: Final = "REVOKED"
"""What Celery calls a job that a worker got when its deadline was over: the service has more to do than it can."""

_FAILED: Final = Outcome(status=Status.FAIL, message=MESSAGES[Status.FAIL])


class Results:
    """Awaits outcomes. `redis` must not retry by itself."""

    def __init__(self, redis: Redis, gateway_id: str) -> None:
        self._redis = redis
        self._pattern = f"{RESULT_PREFIX}{gateway_id}.*"
        self._pending: dict[str, asyncio.Future[Outcome]] = {}
        self._subscribed = asyncio.Event()
        self._met = False

    @property
    def subscribed(self) -> bool:
        """Whether results can arrive now."""
        return self._subscribed.is_set()

    @property
    def met(self) -> bool:
        """Whether results could arrive at any time so far."""
        return self._met

    @contextmanager
    def expect(self, job_id: str) -> Iterator[asyncio.Future[Outcome]]:
        """A future of the job's outcome, to be opened before the job is dispatched."""
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._pending[job_id] = future
        try:
            yield future
        finally:
            del self._pending[job_id]

    async def listen(self) -> None:
        """Receive until cancelled, through any number of lost connections."""
        told = False
        while True:
            try:
                await self._listen_once()
            except (RedisError, OSError) as error:
                # Said once for each loss, not once for each try to end it.
                if self.subscribed or not told:
                    log.warning("results_subscription_lost", error=type(error).__name__, pending=len(self._pending))
                told = True
            finally:
                self._subscribed.clear()
            await asyncio.sleep(RECONNECT_S)

    async def _listen_once(self) -> None:
        async with self._redis.pubsub() as pubsub:
            await pubsub.psubscribe(self._pattern)
            await _next(pubsub)
            self._subscribed.set()
            self._met = True
            await self._read_missed()
            while True:
                message = await pubsub.get_message(timeout=QUIET_S)
                if message is None:
                    await pubsub.ping()
                    message = await _next(pubsub)
                if message["type"] == "pmessage":
                    self._resolve(message["channel"].decode(), message["data"])

    async def _read_missed(self) -> None:
        keys = [RESULT_PREFIX + job_id for job_id in self._pending]
        if keys:
            for key, data in zip(keys, await self._redis.mget(keys), strict=True):
                if data is not None:
                    self._resolve(key, data)

    def _resolve(self, channel: str, data: bytes | str) -> None:
        future = self._pending.get(channel.removeprefix(RESULT_PREFIX))
        if future is None or future.done():  # the caller is gone, or the result came twice
            return
        outcome = _outcome(data)
        if outcome is not None:
            future.set_result(outcome)


async def _next(pubsub: Any) -> dict[str, Any]:
    """The message that must come now. Raises ConnectionError when it does not."""
    message: dict[str, Any] | None = await pubsub.get_message(timeout=QUIET_S)
    if message is None:
        raise ConnectionError("no answer")
    return message


def _outcome(data: bytes | str) -> Outcome | None:
    """The outcome in a stored Celery result, None while it is not final. Whatever is no outcome is a FAIL."""
    result = json.loads(data)
    if result["status"] not in _FINAL_STATES:
        return None
    if result["status"] == _EXPIRED:
        log.warning("job_expired", job_id=result.get("task_id"))
        return _FAILED
    try:
        return Outcome.model_validate(result["result"])
    except ValidationError:
        log.error("job_failed", job_id=result.get("task_id"), state=result["status"])  # noqa: TRY400 -- no traceback is meant
        return _FAILED
