"""The metrics of the broker and the image store.

All gateways read the same broker, so its metrics must be aggregated as the maximum over gateways, not the sum.
"""

import asyncio
import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from prometheus_client import CollectorRegistry, Gauge
from redis import RedisError
from redis.asyncio import Redis

from gateway.monitoring.health import living_workers
from shared import asynchronous, webhooks
from shared.broker import UNACKED
from shared.fair_queue import EXTRA, HELD, LINE_PREFIX, WAITING, message_of
from shared.jobs import QUEUE, SENT

TIMEOUT_S: Final = 2.0
"""Seconds for the broker to answer: below the 10 s of a scrape, so that the other metrics are never lost with it."""

QUEUES_READ: Final = 1000
"""Queues of tenants in which the oldest job is searched."""


@dataclass(frozen=True)
class Queue:
    """waiting: jobs that no worker has taken. taken: jobs that workers have taken and not finished. oldest_s: seconds
    since the dispatch of the job that waits longest, 0 where none waits, NaN if a message is no job.
    """

    waiting: int
    taken: int
    oldest_s: float


async def read_queue(broker: Redis) -> Queue:
    """Return what waits and what is worked on now. Raises RedisError."""
    async with broker.pipeline(transaction=False) as pipeline:
        for waiting in (QUEUE, EXTRA, HELD):
            pipeline.llen(waiting)
        pipeline.hlen(UNACKED)
        # The oldest job is the rightmost of QUEUE or of a tenant's queue, all of which are filled from the left.
        pipeline.lindex(QUEUE, -1)
        pipeline.zrange(WAITING, 0, QUEUES_READ - 1)
        *lengths, taken, oldest, tenants = await pipeline.execute()
    async with broker.pipeline(transaction=False) as pipeline:
        for tenant in tenants:
            pipeline.lindex(LINE_PREFIX + tenant.decode(), -1)
        first = [message_of(job) for job in await pipeline.execute() if job is not None]
    ages = map(_age, first if oldest is None else [*first, oldest])
    return Queue(sum(lengths), taken, max(ages, default=0.0))


async def oldest_webhook_s(broker: Redis) -> float:
    """Return the seconds for which the first webhook has waited, 0 if none waits. Raises RedisError."""
    return _waited(cast("list[tuple[bytes, float]]", await broker.zrange(webhooks.WAITING, 0, 0, withscores=True)))


class BrokerMetrics:
    """Metrics of the broker and the image store. A value that cannot be read now is NaN, not the previous one."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"facesearch_{name}", text, labels, registry=registry)

        self._up = gauge("broker_up", "Whether the broker answers.")
        self._length = gauge("queue_length", "Jobs that wait for a worker.")
        self._oldest = gauge("queue_oldest_seconds", "Age of the job that waits longest; 0: none waits.")
        self._taken = gauge("jobs_taken", "Jobs that workers have taken and not finished.")
        self._workers = gauge("workers_alive", "Workers that renew their sign of life.")
        self._asynchronous = gauge("asynchronous_jobs", "Asynchronous jobs that have not ended.")
        self._webhooks = gauge("webhooks_waiting", "Webhooks that wait to be delivered.")
        self._webhooks_oldest = gauge(
            "webhooks_oldest_seconds", "Age of the webhook that waits longest; 0: none waits."
        )
        self._webhooks_dead = gauge("webhooks_dead", "Webhooks that were given up and are kept.")
        self._memory = gauge("redis_memory_bytes", "Memory in use.", "server")
        self._memory_max = gauge("redis_memory_max_bytes", "Limit of the memory in use; 0: none.", "server")
        self._subscribed = gauge("results_subscribed", "Whether results can reach this gateway.")

    async def refresh(self, broker: Redis, image_store: Redis, subscribed: bool) -> None:
        """Read all values, for TIMEOUT_S at most. Never raises."""
        self._subscribed.set(subscribed)
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await self._read_queue(broker)
                await self._read_asynchronous(broker)
            self._up.set(1)
        except (RedisError, OSError, TimeoutError):
            self._up.set(0)
            for gauge in (self._length, self._oldest, self._taken, self._workers, *self._aside):
                gauge.set(math.nan)
        await asyncio.gather(self._read_memory("broker", broker), self._read_memory("images", image_store))

    async def _read_queue(self, broker: Redis) -> None:
        queue = await read_queue(broker)
        self._length.set(queue.waiting)
        self._oldest.set(queue.oldest_s)
        self._taken.set(queue.taken)
        self._workers.set(len(await living_workers(broker)))

    @property
    def _aside(self) -> tuple[Gauge, ...]:
        return self._asynchronous, self._webhooks, self._webhooks_oldest, self._webhooks_dead

    async def _read_asynchronous(self, broker: Redis) -> None:
        async with broker.pipeline(transaction=False) as pipeline:
            pipeline.zcard(asynchronous.ALL)
            pipeline.zcard(webhooks.WAITING)
            pipeline.zrange(webhooks.WAITING, 0, 0, withscores=True)
            pipeline.zrange(webhooks.DEAD, 0, -1, withscores=True)
            jobs, waiting, first, dead = await pipeline.execute()
        values = (jobs, waiting, _waited(first), sum(count for _, count in dead))
        for gauge, value in zip(self._aside, values, strict=True):
            gauge.set(value)

    async def _read_memory(self, server: str, redis: Redis) -> None:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                memory: dict[str, Any] = await redis.info("memory")
        except (RedisError, OSError, TimeoutError):
            memory = {}
        self._memory.labels(server).set(memory.get("used_memory", math.nan))
        self._memory_max.labels(server).set(memory.get("maxmemory", math.nan))


def _waited(first: Sequence[tuple[bytes, float]]) -> float:
    return max(0.0, time.time() - first[0][1]) if first else 0.0


def _age(message: bytes) -> float:
    """Return the seconds since a job was dispatched, by the clocks of two gateways, which may differ a little; NaN for
    a message that is not a job.
    """
    try:
        return max(0.0, time.time() - float(json.loads(message)["headers"][SENT]))
    except (ValueError, KeyError, TypeError):
        return math.nan
