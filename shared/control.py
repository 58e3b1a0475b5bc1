"""Control data in Redis: which key belongs to whom, and which facedbs there are.

    fs:key:<SHA-256 of the key>      JSON of Access
    fs:facedb:<tenant>:<facedb>      JSON of Facedb
    fs:first-key                     SHA-256 of the key that came from the settings

Keys have 128 bits and more, so a plain SHA-256 is as hard to invert as the key is to guess, and costs microseconds.
"""

import hashlib
from dataclasses import dataclass
from typing import Final, cast

from pydantic import BaseModel, ConfigDict
from redis.asyncio import Redis

DEFAULT: Final = "default"
"""Name of the first tenant, and of its facedb."""

_FIRST_KEY: Final = "fs:first-key"


class Access(BaseModel):
    """What an API key opens: a tenant, and the facedb that is meant when a request names none."""

    model_config = ConfigDict(frozen=True)

    tenant: str
    facedb: str


class Facedb(BaseModel):
    """A face database: one collection of the store."""

    model_config = ConfigDict(frozen=True)

    collection: str


def collection_name(tenant: str, facedb: str) -> str:
    """The store's collection of a facedb. Neither part can hold a dot, so no two facedbs share one."""
    return f"{tenant}.{facedb}"


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


@dataclass(frozen=True)
class Control:
    """Reads and writes control data. Methods raise redis.RedisError when Redis cannot be reached."""

    redis: Redis

    async def access(self, key: str) -> Access | None:
        """What the key opens, or None for an unknown key."""
        record = await self.redis.get(f"fs:key:{_digest(key)}")
        return None if record is None else Access.model_validate_json(record)

    async def facedb(self, tenant: str, name: str) -> Facedb | None:
        """The tenant's facedb of that name, or None if the tenant has none."""
        record = await self.redis.get(f"fs:facedb:{tenant}:{name}")
        return None if record is None else Facedb.model_validate_json(record)

    async def create_facedb(self, tenant: str, name: str) -> Facedb:
        """The tenant's facedb of that name, made if it is new."""
        facedb = Facedb(collection=collection_name(tenant, name))
        await self.redis.set(f"fs:facedb:{tenant}:{name}", facedb.model_dump_json(), nx=True)
        return facedb

    async def set_first_key(self, key: str) -> None:
        """Make the key from the settings open the default tenant; the one set before it stops working."""
        digest = _digest(key)
        await self.create_facedb(DEFAULT, DEFAULT)
        previous = cast("bytes | None", await self.redis.set(_FIRST_KEY, digest, get=True))
        await self.redis.set(f"fs:key:{digest}", Access(tenant=DEFAULT, facedb=DEFAULT).model_dump_json())
        if previous is not None and previous.decode() != digest:
            await self.redis.delete(f"fs:key:{previous.decode()}")
