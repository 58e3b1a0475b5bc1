"""Whether the service can answer: the broker, the way back, a worker, and that worker's store."""

import asyncio
from typing import Final, cast

from redis import RedisError
from redis.asyncio import Redis

from gateway.results import Results
from shared.presence import WORKERS, Presence, presence_key

OK: Final = "ok"
TIMEOUT_S: Final = 2.0


async def readiness(redis: Redis, results: Results) -> dict[str, str]:
    """For each part "ok" or what is wrong with it. Never raises."""
    try:
        async with asyncio.timeout(TIMEOUT_S):
            workers = await living_workers(redis)
    except (RedisError, OSError, TimeoutError):
        return {"broker": "does not answer", "worker": "unknown", "store": "unknown"}
    stores = [worker.store for worker in workers]
    return {
        "broker": OK if results.subscribed else "results subscription is not connected",
        "worker": OK if workers else "none is alive",
        "store": "unknown" if not stores else OK if OK in stores else stores[0],
    }


async def living_workers(redis: Redis) -> list[Presence]:
    """Those alive. Drops from the set those who are not; one that still lives puts itself back with its next beat."""
    ids = [member.decode() for member in cast("set[bytes]", await redis.smembers(WORKERS))]
    if not ids:
        return []
    records = await redis.mget([presence_key(worker_id) for worker_id in ids])
    gone = [worker_id for worker_id, record in zip(ids, records, strict=True) if record is None]
    if gone:
        await redis.srem(WORKERS, *gone)
    return [Presence.model_validate_json(record) for record in records if record is not None]
