"""When the last backup was made, for operators who look at the service.

fs:last-backup    JSON of LastBackup; no backup has it, and nothing depends on it
"""

from typing import Annotated, Final, cast

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from redis import Redis
from redis import asyncio as aioredis

KEY: Final = "fs:last-backup"


class LastBackup(BaseModel):
    """A backup that was completed. at: when. bytes: of its files. release: of facesearch, which made it."""

    model_config = ConfigDict(frozen=True)

    at: AwareDatetime
    bytes: Annotated[int, Field(ge=0)]
    release: str


def keep(redis: Redis, made: LastBackup) -> None:
    """Remember a backup as the last one. Raises RedisError."""
    redis.set(KEY, made.model_dump_json())


async def read(redis: aioredis.Redis) -> LastBackup | None:
    """Return the last backup, None if none is known. Raises RedisError."""
    kept = cast("bytes | None", await redis.get(KEY))
    return None if kept is None else LastBackup.model_validate_json(kept)
