"""The metrics of the broker and the image store.

All gateways read the same broker, so its metrics must be aggregated as the maximum over gateways, not the sum.
"""

import asyncio
import json
import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

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

JOBS_READ: Final = 16
"""Jobs of each queue among which the first is searched that somebody waits for. A tenant has as many asynchronous ones
in its queue as the workers have threads."""


@dataclass(frozen=True)
class Queue:
    """waiting: jobs that no worker has taken. taken: jobs that workers have taken and not finished. oldest_s: seconds
    since the dispatch of the job that waits longest, 0 where none waits, NaN if a message is no job; without those that
    nobody waits for.
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
        pipeline.lrange(QUEUE, -JOBS_READ, -1)
        pipeline.zrange(WAITING, 0, QUEUES_READ - 1)
        *lengths, taken, released, tenants = await pipeline.execute()
    async with broker.pipeline(transaction=False) as pipeline:
        for tenant in tenants:
            pipeline.lrange(LINE_PREFIX + tenant.decode(), -JOBS_READ, -1)
        lines = [map(message_of, reversed(line)) for line in await pipeline.execute()]
    ages = (_oldest(messages) for messages in (reversed(released), *lines))
    return Queue(sum(lengths), taken, max(ages, default=0.0))


@dataclass(frozen=True)
class Aside:
    """What waits beside the queue. jobs: asynchronous ones that have not ended. webhooks: that are to be delivered.
    oldest_job_s, oldest_webhook_s: seconds for which the first of each has waited, 0 if none does. dead: webhooks that
    were given up.
    """

    jobs: int = 0
    oldest_job_s: float = 0.0
    webhooks: int = 0
    oldest_webhook_s: float = 0.0
    dead: int = 0


async def read_aside(broker: Redis) -> Aside:
    """Return what waits beside the queue now. Raises RedisError."""
    async with broker.pipeline(transaction=False) as pipeline:
        for waiting in (asynchronous.ALL, webhooks.WAITING):
            pipeline.zcard(waiting)
            pipeline.zrange(waiting, 0, 0, withscores=True)
        pipeline.zrange(webhooks.DEAD, 0, -1, withscores=True)
        jobs, first_job, waiting_webhooks, first_webhook, dead = await pipeline.execute()
    return Aside(
        jobs=jobs,
        oldest_job_s=_waited(first_job, asynchronous.DEADLINE_S),  # they are sorted by their deadlines
        webhooks=waiting_webhooks,
        oldest_webhook_s=_waited(first_webhook),
        dead=int(sum(count for _, count in dead)),
    )


class BrokerMetrics:
    """Metrics of the broker and the image store. A value that cannot be read now is NaN, not the previous one."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"facesearch_{name}", text, labels, registry=registry)

        self._up = gauge("broker_up", "Whether the broker answers.")
        self._length = gauge("queue_length", "Jobs that wait for a worker.")
        self._oldest = gauge(
            "queue_oldest_seconds", "Age of the job that waits longest and is waited for; 0: none waits."
        )
        self._taken = gauge("jobs_taken", "Jobs that workers have taken and not finished.")
        self._workers = gauge("workers_alive", "Workers that renew their sign of life.")
        self._asynchronous = gauge("asynchronous_jobs", "Asynchronous jobs that have not ended.")
        self._asynchronous_oldest = gauge(
            "asynchronous_oldest_seconds", "Age of the asynchronous job that waits longest; 0: none waits."
        )
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
                aside = await read_aside(broker)
            for gauge, value in self._aside(aside):
                gauge.set(value)
            self._up.set(1)
        except (RedisError, OSError, TimeoutError):
            self._up.set(0)
            for gauge in (self._length, self._oldest, self._taken, self._workers):
                gauge.set(math.nan)
            for gauge, _ in self._aside(Aside()):
                gauge.set(math.nan)
        await asyncio.gather(self._read_memory("broker", broker), self._read_memory("images", image_store))

    async def _read_queue(self, broker: Redis) -> None:
        queue = await read_queue(broker)
        self._length.set(queue.waiting)
        self._oldest.set(queue.oldest_s)
        self._taken.set(queue.taken)
        self._workers.set(len(await living_workers(broker)))

    def _aside(self, aside: Aside) -> tuple[tuple[Gauge, float], ...]:
        return (
            (self._asynchronous, aside.jobs),
            (self._asynchronous_oldest, aside.oldest_job_s),
            (self._webhooks, aside.webhooks),
            (self._webhooks_oldest, aside.oldest_webhook_s),
            (self._webhooks_dead, aside.dead),
        )

    async def _read_memory(self, server: str, redis: Redis) -> None:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                memory: dict[str, Any] = await redis.info("memory")
        except (RedisError, OSError, TimeoutError):
            memory = {}
        self._memory.labels(server).set(memory.get("used_memory", math.nan))
        self._memory_max.labels(server).set(memory.get("maxmemory", math.nan))


def _waited(first: Sequence[tuple[bytes, float]], after_s: float = 0.0) -> float:
    """Return the seconds since the first entry was made. after_s: its score is a time that much later."""
    return max(0.0, time.time() + after_s - first[0][1]) if first else 0.0


def _oldest(messages: Iterable[bytes]) -> float:
    """Return the seconds since the first of these jobs was dispatched that somebody waits for, by the clocks of two
    gateways, which may differ a little; 0 if there is none, NaN for a message before it that is not a job.
    """
    for message in messages:
        try:
            headers = json.loads(message)["headers"]
            if asynchronous.IMAGES not in headers:
                return max(0.0, time.time() - float(headers[SENT]))
        except (ValueError, KeyError, TypeError):
            return math.nan
    return 0.0
