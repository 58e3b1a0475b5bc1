"""Outcomes of jobs: one subscription per gateway, and a future for every job that is waited for.

redis-py silently reconnects a subscription, and what was published meanwhile is lost. Here a lost connection raises:
the gateway subscribes again and reads the results of all pending jobs, which workers store before they publish.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import structlog
from redis import RedisError
from redis.asyncio import Redis

from shared.broker import RESULT_PREFIX
from shared.jobs import Outcome
from shared.messages import outcome_in

log = structlog.stdlib.get_logger(__name__)

QUIET_S: Final = 5.0
"""Seconds without a message after which the connection is pinged; after as many more it is lost."""

RECONNECT_S: Final = 0.2


class Results:
    """Waits for outcomes. `redis` must not retry by itself."""

    def __init__(self, redis: Redis, gateway_id: str) -> None:
        self._redis = redis
        self._pattern = f"{RESULT_PREFIX}{gateway_id}.*"
        self._pending: dict[str, asyncio.Future[Outcome]] = {}
        self._subscribed = asyncio.Event()
        self._was_subscribed = False

    @property
    def subscribed(self) -> bool:
        """Whether outcomes can arrive now."""
        return self._subscribed.is_set()

    @property
    def was_subscribed(self) -> bool:
        """Whether outcomes could arrive at any time so far."""
        return self._was_subscribed

    @contextmanager
    def expect(self, job_id: str) -> Iterator[asyncio.Future[Outcome]]:
        """Yield a future of the job's outcome. Must be entered before the job is dispatched."""
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._pending[job_id] = future
        try:
            yield future
        finally:
            del self._pending[job_id]

    async def listen(self) -> None:
        """Receive outcomes until cancelled, reconnecting when the connection is lost."""
        logged = False
        while True:
            try:
                await self._listen_once()
            except (RedisError, OSError) as error:
                # Once for each loss, not for each attempt to reconnect.
                if self.subscribed or not logged:
                    log.warning("results_subscription_lost", error=type(error).__name__, pending=len(self._pending))
                logged = True
            finally:
                self._subscribed.clear()
            await asyncio.sleep(RECONNECT_S)

    async def _listen_once(self) -> None:
        async with self._redis.pubsub() as pubsub:
            await pubsub.psubscribe(self._pattern)
            await _next(pubsub)
            self._subscribed.set()
            self._was_subscribed = True
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
        if future is None or future.done():  # the caller has left, or the result was read and received
            return
        outcome = outcome_in(data)
        if outcome is not None:
            future.set_result(outcome)


async def _next(pubsub: Any) -> dict[str, Any]:
    """Return the next message. Raises ConnectionError when none arrives within QUIET_S."""
    message: dict[str, Any] | None = await pubsub.get_message(timeout=QUIET_S)
    if message is None:
        raise ConnectionError("no answer")
    return message
