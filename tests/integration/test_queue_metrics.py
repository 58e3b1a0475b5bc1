"""What metrics and the operators' console read of a broker on which jobs and webhooks wait."""

import json
import time

import pytest
from redis.asyncio import Redis

from gateway.monitoring.broker import Aside, read_aside, read_queue
from shared import asynchronous, fair_queue, webhooks
from shared.jobs import SENT


async def wait_in_line(redis: Redis, tenant: str, name: str, *, for_s: float, is_asynchronous: bool = False) -> None:
    """Let a job be the last of a tenant's line that was dispatched that many seconds ago."""
    headers = {SENT: time.time() - for_s, **({asynchronous.IMAGES: 1} if is_asynchronous else {})}
    entry = fair_queue.item(name, time.time() + 60, json.dumps({"headers": headers}))
    await redis.lpush(fair_queue.LINE_PREFIX + tenant, entry)
    await redis.zadd(fair_queue.WAITING, {tenant: 0})


async def test_the_age_is_that_of_the_first_job_that_somebody_waits_for(redis: Redis) -> None:
    assert (await read_queue(redis)).oldest_s == 0
    for number in range(3):
        await wait_in_line(redis, "shop", f"a{number}", for_s=600, is_asynchronous=True)
    assert (await read_queue(redis)).oldest_s == 0
    await wait_in_line(redis, "shop", "b", for_s=7)
    await wait_in_line(redis, "shop", "c", for_s=5)
    await wait_in_line(redis, "other", "d", for_s=6)
    assert (await read_queue(redis)).oldest_s == pytest.approx(7, abs=1)


async def test_what_waits_beside_the_queue_is_counted_with_its_age(redis: Redis) -> None:
    assert await read_aside(redis) == Aside()
    now = time.time()
    deadlines = {f"shop {number}": now + asynchronous.DEADLINE_S - 300 + number for number in range(3)}
    await redis.zadd(asynchronous.ALL, deadlines)
    await redis.zadd(webhooks.WAITING, {"x": now - 100, "y": now})
    await redis.zadd(webhooks.DEAD, {"shop": 2, "other": 3})
    aside = await read_aside(redis)
    assert (aside.jobs, aside.webhooks, aside.dead) == (3, 2, 5)
    assert (aside.oldest_job_s, aside.oldest_webhook_s) == (pytest.approx(300, abs=1), pytest.approx(100, abs=1))
