"""Whether this gateway can answer, and whether the service behind it works.

These are two questions. A running gateway always answers in the contract's JSON, if only with FAIL. If it were removed
from its balancer because a worker or the broker is missing, so would be all others, and callers would get the
balancer's own error page. Monitors, and scripts that wait for the whole service, ask for all parts.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, cast

from redis import RedisError
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from gateway.dispatch.results import Results
from shared.broker_memory import MEMORY, BrokerMemory, broker_memory
from shared.heartbeat import DISK, FACEDBS, OK, WORKERS, Heartbeat, heartbeat_key

TIMEOUT_S: Final = 2.0

UNKNOWN: Final = "unknown"
"""The state of a part that cannot be asked now."""

VERBOSE: Final = "verbose"
"""Name of the query parameter that asks for all parts; "0" does not."""


def gateway_state(results: Results) -> str:
    """Return "ok", or why a gateway that is not stopping should get no requests. It is starting until it has reached
    its broker once, so that one with a wrong REDIS_URL never replaces one that works.
    """
    return OK if results.was_subscribed else "is starting: the broker has not answered yet"


async def service_state(redis: Redis, results: Results) -> dict[str, str]:
    """Return the state of each part of the service and of this gateway: "ok" or the problem. Never raises. It is
    public, so it names no tenant and no facedb.
    """
    parts = parts_of_service(await read_broker(redis))
    known = parts["worker"] != UNKNOWN
    own = UNKNOWN if not known else OK if results.subscribed else "the subscription is not connected"
    return {"broker": parts.pop("broker"), MEMORY: parts.pop(MEMORY), "results": own, **parts}


@dataclass(frozen=True)
class BrokerState:
    """What a broker that answers knows. workers: that are alive. file: "ok", or what is wrong with its file."""

    workers: Sequence[Heartbeat]
    file: str
    memory: BrokerMemory


async def read_broker(redis: Redis) -> BrokerState | None:
    """Return what the broker knows now, None if it does not answer within TIMEOUT_S. Never raises."""
    try:
        async with asyncio.timeout(TIMEOUT_S):
            return BrokerState(await living_workers(redis), await _file(redis), await read_memory(redis))
    except (RedisError, OSError, TimeoutError):
        return None


def parts_of_service(state: BrokerState | None) -> dict[str, str]:
    """Return the state of each part that all gateways share. state: of the broker, None: it does not answer."""
    if state is None:
        return {"broker": "does not answer", **dict.fromkeys((MEMORY, "worker", "store", DISK, FACEDBS), UNKNOWN)}
    workers = state.workers
    stores = [worker.store for worker in workers]
    return {
        "broker": state.file,
        MEMORY: str(state.memory) if state.memory.is_nearly_full else OK,
        "worker": OK if workers else "none is alive",
        "store": UNKNOWN if not stores else OK if OK in stores else stores[0],
        DISK: _disk(workers),
        FACEDBS: _facedbs(workers),
    }


async def _file(redis: Redis) -> str:
    try:
        said = await redis.info("persistence")
    except ResponseError:  # INFO may be forbidden: then nothing is known to be wrong
        return OK
    return OK if said.get("aof_last_write_status", OK) == OK else "cannot write its append-only file; is its disk full?"


async def read_memory(redis: Redis) -> BrokerMemory:
    """Return the memory of a broker or an image store. Raises RedisError and OSError."""
    try:
        return await broker_memory(redis)
    except ResponseError:  # as above
        return BrokerMemory(used=0, limit=0)


def _disk(workers: Sequence[Heartbeat]) -> str:
    """Return the problem of any worker's disk: each may have its own, and a call may reach any worker."""
    return next((worker.disk for worker in workers if worker.disk != OK), OK) if workers else UNKNOWN


def _facedbs(workers: Sequence[Heartbeat]) -> str:
    if not workers:
        return UNKNOWN
    refused = max(worker.refused_count for worker in workers)
    return f"{refused} hold faces of another model and are refused; `facesearch doctor` names them" if refused else OK


async def living_workers(redis: Redis) -> list[Heartbeat]:
    """Return the workers that are alive, and remove others from the set; a worker that lives adds itself again."""
    ids = [member.decode() for member in cast("set[bytes]", await redis.smembers(WORKERS))]
    if not ids:
        return []
    records = await redis.mget([heartbeat_key(worker_id) for worker_id in ids])
    gone = [worker_id for worker_id, record in zip(ids, records, strict=True) if record is None]
    if gone:
        await redis.srem(WORKERS, *gone)
    return [Heartbeat.model_validate_json(record) for record in records if record is not None]
