"""The state of the service for operators: its parts, workers and jobs, and the last backup."""

import math
from importlib.metadata import version
from typing import Annotated, Final

from pydantic import Field
from typing_extensions import TypedDict  # pydantic takes no other before Python 3.12

from gateway.monitoring.broker import read_queue
from gateway.monitoring.health import living_workers, parts_of_service
from shared import audit, last_backup
from shared.audit import Kept
from shared.control import Control
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
    """release: of this gateway. parts: ok, or what is wrong, by the name of the part."""

    release: str
    parts: dict[str, str]
    jobs: WaitingJobs
    workers: list[LivingWorker]
    last_backup: LastBackup | None


async def get_service(control: Control) -> ServiceState:
    """Return the state now. Raises RedisError."""
    redis = control.redis
    queue = await read_queue(redis)
    workers: list[LivingWorker] = [
        {
            "host": worker.host,
            "embedder": worker.embedder,
            "licence": worker.licence,
            "store": worker.store,
            "disk": worker.disk,
        }
        for worker in await living_workers(redis)
    ]
    oldest = queue.oldest_s
    return {
        "release": version("facesearch"),
        "parts": await parts_of_service(redis),
        "jobs": {"waiting": queue.waiting, "taken": queue.taken, "oldest_s": None if math.isnan(oldest) else oldest},
        "workers": sorted(workers, key=lambda worker: worker["host"]),
        "last_backup": await last_backup.read(redis),
    }


async def list_events(control: Control) -> list[Kept]:
    """Return the newest events of the audit trail, oldest first. Raises RedisError."""
    return await audit.last(control.redis, EVENTS)
