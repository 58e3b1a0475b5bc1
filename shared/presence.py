"""How a worker tells that it is there: a key that it renews, and that expires when it does not.

fs:workers               set of worker ids; readers drop those whose key has expired
fs:worker:<worker id>    JSON of Presence, alive for PRESENCE_TTL_S seconds
"""

from typing import Final, cast

from pydantic import BaseModel, ConfigDict
from redis import Redis

PRESENCE_INTERVAL_S: Final = 1.0

PRESENCE_TTL_S: Final = 5
"""Five missed renewals: longer than a pause, shorter than anybody's patience."""

WORKERS: Final = "fs:workers"

FACEDBS: Final = "facedbs"
"""The part of a service's state that tells whether it refuses face databases."""

DISK: Final = "disk"
"""The part of a service's state that tells whether the store can write: searches go on where it cannot."""

OK: Final = "ok"
"""What is said of a part with which nothing is wrong."""


class Presence(BaseModel):
    """What a worker says of itself. store: "ok", or why the store does not answer. disk: "ok",
    or why it cannot write. host: where it runs. identity: of
    what it makes of a face. refused_count: face databases whose faces are of another identity, so that it refuses them;
    refused: which, and what to do, in one line.
    """

    model_config = ConfigDict(frozen=True)

    store: str
    disk: str = OK
    embedder: str
    host: str = ""
    identity: str = ""
    refused_count: int = 0
    refused: str = ""


def presence_key(worker_id: str) -> str:
    return f"fs:worker:{worker_id}"


def said(redis: Redis) -> dict[str, bytes | None]:
    """JSON of Presence of each worker in the set, by id; None of one that is not alive. Raises redis.RedisError."""
    ids = [member.decode() for member in cast("set[bytes]", redis.smembers(WORKERS))]
    records = cast("list[bytes | None]", redis.mget(map(presence_key, ids))) if ids else []
    return dict(zip(ids, records, strict=True))
