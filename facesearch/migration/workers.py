"""Whether the workers of a service have both models."""

from collections.abc import Sequence
from typing import cast

from redis.asyncio import Redis

from shared.errors import OperatorError
from shared.heartbeat import WORKERS, Heartbeat, heartbeat_key


async def require_both(redis: Redis, identities: Sequence[str]) -> None:
    """Raise OperatorError unless there is a worker, and every living one serves these identities."""
    ids = [member.decode() for member in cast("set[bytes]", await redis.smembers(WORKERS))]
    records = cast("list[bytes | None]", await redis.mget(map(heartbeat_key, ids))) if ids else []
    alive = [Heartbeat.model_validate_json(record) for record in records if record is not None]
    if not alive:
        raise OperatorError("no worker runs, and workers do it: start one")
    for worker in alive:
        for identity in identities:
            if identity not in (worker.identities or (worker.identity,)):
                raise OperatorError(
                    f"the worker on {worker.host} does not have {identity.partition(':')[0]}: set "
                    "FACESEARCH_EMBEDDER to the new model and FACESEARCH_SECOND_EMBEDDER to the present one for all "
                    "workers"
                )
