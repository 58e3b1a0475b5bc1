"""The state of the service for operators: its parts, alerts, workers and jobs, and the last backup."""

import asyncio
import math
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Annotated, Final

from pydantic import Field
from redis import RedisError
from redis.asyncio import Redis
from typing_extensions import TypedDict  # pydantic takes no other before Python 3.12

from gateway.admin.alerts import Alert, Shared, firing
from gateway.monitoring.broker import Aside, Queue, read_aside, read_queue
from gateway.monitoring.health import TIMEOUT_S, parts_of_service, read_broker, read_memory
from shared import audit, last_backup
from shared.audit import Kept
from shared.broker_memory import BrokerMemory
from shared.control import Control
from shared.heartbeat import Heartbeat
from shared.last_backup import LastBackup

EVENTS: Final = 100
"""Events of the audit trail in one answer: a screen of them, and 20 kB."""

_Count = Annotated[int, Field(ge=0)]


class WaitingJobs(TypedDict):
    """waiting: jobs that no worker has. taken: jobs that workers have. oldest_s: seconds since the oldest waiting job
    was dispatched; None if that cannot be told.
    """

    waiting: _Count
    taken: _Count
    oldest_s: float | None


class LivingWorker(TypedDict):
    """A worker that is alive. embedder, licence: of new facedbs. store, disk: ok, or what is wrong."""

    host: str
    embedder: str
    licence: str
    store: str
    disk: str


class ServiceState(TypedDict):
    """release: of this gateway. parts: ok, or what is wrong, by the name of the part. alerts: those that hold now. jobs
    None: the broker does not answer, and neither workers nor a backup are known.
    """

    release: str
    parts: dict[str, str]
    alerts: list[Alert]
    jobs: WaitingJobs | None
    workers: list[LivingWorker]
    last_backup: LastBackup | None


async def get_service(control: Control, images: Redis) -> ServiceState:
    """Return the state now. images: the image store. Never raises."""
    redis = control.redis
    broker, image_store = await asyncio.gather(read_broker(redis), _memory(images))
    queue, aside, backup = None, Aside(), None
    if broker is not None:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                queue, aside = await read_queue(redis), await read_aside(redis)
                backup = await last_backup.read(redis)
        except (RedisError, OSError, TimeoutError):
            broker, queue = None, None
    workers = () if broker is None else broker.workers
    oldest_s = math.nan if queue is None else queue.oldest_s
    now = Shared(workers, oldest_s, aside, None if broker is None else broker.memory, image_store)
    return {
        "release": version("facesearch"),
        "parts": parts_of_service(broker),
        "alerts": firing(now, datetime.now(UTC)),
        "jobs": None if queue is None else _jobs(queue),
        "workers": _workers(workers),
        "last_backup": backup,
    }


async def _memory(redis: Redis) -> BrokerMemory | None:
    """Return the memory of a server, None if it does not answer."""
    try:
        async with asyncio.timeout(TIMEOUT_S):
            return await read_memory(redis)
    except (RedisError, OSError, TimeoutError):
        return None


def _jobs(queue: Queue) -> WaitingJobs:
    oldest = queue.oldest_s
    return {"waiting": queue.waiting, "taken": queue.taken, "oldest_s": None if math.isnan(oldest) else oldest}


def _workers(workers: Sequence[Heartbeat]) -> list[LivingWorker]:
    shown: list[LivingWorker] = [
        {
            "host": worker.host,
            "embedder": worker.embedder,
            "licence": worker.licence,
            "store": worker.store,
            "disk": worker.disk,
        }
        for worker in workers
    ]
    return sorted(shown, key=lambda worker: worker["host"])


async def list_events(control: Control) -> list[Kept]:
    """Return the newest events of the audit trail, oldest first. Raises RedisError."""
    return await audit.last(control.redis, EVENTS)
