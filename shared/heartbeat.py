"""The heartbeat of a worker: a key that it renews, and that expires when the worker dies.

fs:workers               set of worker ids; readers ignore those whose key has expired
fs:worker:<worker id>    JSON of Heartbeat, with a time to live of HEARTBEAT_TTL_S
"""

from typing import Final, cast

from pydantic import BaseModel, ConfigDict
from redis import Redis

HEARTBEAT_INTERVAL_S: Final = 1.0

HEARTBEAT_TTL_S: Final = 5
"""Five missed heartbeats: longer than a pause of the process."""

WORKERS: Final = "fs:workers"

FACEDBS: Final = "facedbs"
"""Name of the part of the service's state that reports whether workers refuse face databases."""

DISK: Final = "disk"
"""Name of the part of the service's state that reports whether the store can write. Searches work where it cannot."""

OK: Final = "ok"
"""The state of a part with which nothing is wrong."""


class Heartbeat(BaseModel):
    """The state of a worker. store: "ok", or why the store does not answer. disk: "ok", or why it cannot write. host:
    the worker's host name. identity: of the embeddings of new face databases; identities: all that it serves, none if
    it is of a release that serves one. licence: of the embedder, an SPDX expression; "" if it is not known.
    refused_count: face databases that it refuses because their embeddings have another identity; refused: which, and
    what to do, in one line.
    """

    model_config = ConfigDict(frozen=True)

    store: str
    disk: str = OK
    embedder: str
    host: str = ""
    identity: str = ""
    identities: tuple[str, ...] = ()
    licence: str = ""
    refused_count: int = 0
    refused: str = ""


def heartbeat_key(worker_id: str) -> str:
    return f"fs:worker:{worker_id}"


def read_heartbeats(redis: Redis) -> dict[str, bytes | None]:
    """Return the JSON of each worker's Heartbeat by worker id, None for a worker that is not alive. Raises
    redis.RedisError.
    """
    ids = [member.decode() for member in cast("set[bytes]", redis.smembers(WORKERS))]
    records = cast("list[bytes | None]", redis.mget(map(heartbeat_key, ids))) if ids else []
    return dict(zip(ids, records, strict=True))
