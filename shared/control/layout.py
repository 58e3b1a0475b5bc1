"""Where control data lies, and the writes that belong together.

fs:tenants                       set of tenant names
fs:tenant:<tenant>               JSON of Tenant
fs:tenant-ids                    hash: tenant -> its id, which no other tenant ever has; see tenant_id
fs:key:<SHA-256 of the key>      JSON of Key: one look-up opens a request; expires with the key
fs:keys:<tenant>                 hash: key id -> SHA-256 of the key
fs:key-records                   hash: key id -> JSON of KeyRecord, of every key that there ever was
fs:facedb:<tenant>:<facedb>      JSON of Facedb
fs:facedbs:<tenant>              set of facedb names
fs:dropped                       sorted set: collections to remove, by the Unix time from which it is safe
fs:dropped-tenants               sorted set: ids of tenants whose Idempotency-Keys are to be forgotten, likewise
fs:first-key                     SHA-256 of the key that came from the settings last
"""

import hashlib
import secrets
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from pydantic import BaseModel, ValidationError
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline

from shared.control.records import Facedb, Key, KeyRecord, Tenant, Unknown

R = TypeVar("R", bound=BaseModel)

DEFAULT: Final = "default"
"""Name of the first tenant, of its first key, and of the first facedb of every tenant."""

DROP_AFTER_S: Final = 320
"""How long after a facedb is dropped its collection is removed: above the longest deadline a job may have (300 s) and
the seconds for which a gateway remembers a facedb, so that no job in flight brings the collection back."""

TENANTS: Final = "fs:tenants"
TENANT_IDS: Final = "fs:tenant-ids"
DROPPED: Final = "fs:dropped"
DROPPED_TENANTS: Final = "fs:dropped-tenants"
FIRST_KEY: Final = "fs:first-key"
KEY_RECORDS: Final = "fs:key-records"

FIRST_KEY_FILE: Final = "api-key"
"""Name of the file in a data directory that holds the first key, where no setting names one."""


def tenant_key(tenant: str) -> str:
    return f"fs:tenant:{tenant}"


def key_key(secret_digest: str) -> str:
    return f"fs:key:{secret_digest}"


def keys_key(tenant: str) -> str:
    return f"fs:keys:{tenant}"


def facedb_key(tenant: str, facedb: str) -> str:
    return f"fs:facedb:{tenant}:{facedb}"


def facedbs_key(tenant: str) -> str:
    return f"fs:facedbs:{tenant}"


def digest(secret: str) -> str:
    """Of any text, also of bytes in a header that are no UTF-8."""
    return hashlib.sha256(secret.encode(errors="surrogateescape")).hexdigest()


def now() -> datetime:
    return datetime.fromtimestamp(int(time.time()), UTC)


@dataclass(frozen=True)
class Connected:
    """What reads and writes control data. drop_after_s: as DROP_AFTER_S, for tests that do not wait. first_key_file:
    where the first key of this installation may be, which goes with its key.
    """

    redis: Redis
    drop_after_s: float = DROP_AFTER_S
    first_key_file: Path | None = None

    async def tenant(self, name: str) -> Tenant:
        """Raises Unknown."""
        return await read_tenant(self.redis, name)

    async def atomically(self, change: Callable[[Pipeline], Awaitable[Any]], *watched: str) -> Any:
        """Run a change that reads, then calls `begin` and queues its writes: all of them happen or none does. It runs
        again if what it watches changed meanwhile, since it may have decided by what is no longer so.
        """
        return await self.redis.transaction(change, *watched, value_from_callable=True)

    def forget_file_of(self, digests: Collection[str]) -> bool:
        """Remove the file of the first key if that is one of these, which open nothing any more. Returns whether it is
        gone now; a file that cannot be read or removed stays.
        """
        try:
            if self.first_key_file is None or digest(self.first_key_file.read_text().strip()) not in digests:
                return False
            self.first_key_file.unlink()
        except (OSError, UnicodeDecodeError):
            return False
        return True

    async def removable(self, redis: Redis) -> float:
        """The second from which a collection dropped now may be removed, by the clock of Redis, which all share."""
        seconds, _ = await redis.time()
        return float(seconds + self.drop_after_s)


def begin(pipe: Pipeline) -> None:
    """From here on commands are queued, to be executed together."""
    pipe.multi()  # type: ignore[no-untyped-call]


async def read_tenant(redis: Redis, name: str) -> Tenant:
    record = await redis.get(tenant_key(name))
    if record is None:
        raise Unknown(f"there is no tenant {name}")
    return Tenant.model_validate_json(record)


def tenant_id(stored: Any, name: str) -> str:
    """What a tenant of that name is known by wherever something of it is remembered. stored: bytes or None, what
    TENANT_IDS says. A tenant of a release that gave no ids goes by its name; when it is made anew it gets one. Its
    record has no place for it: gateways of such a release refuse a record with fields that they do not know.
    """
    return name if stored is None else str(stored.decode())


async def read_facedb(redis: Redis, tenant: str, name: str) -> Facedb:
    record = await redis.get(facedb_key(tenant, name))
    if record is None:
        raise Unknown(f"tenant {tenant} has no facedb {name}")
    return Facedb.model_validate_json(record)


def put_tenant(pipe: Pipeline, name: str) -> Tenant:
    """A tenant with an empty default facedb."""
    tenant = Tenant(name=name, facedb=DEFAULT, created=now())
    pipe.set(tenant_key(name), tenant.model_dump_json())
    pipe.sadd(TENANTS, name)
    pipe.hset(TENANT_IDS, name, secrets.token_hex(8))
    put_facedb(pipe, name, DEFAULT)
    return tenant


def put_key(pipe: Pipeline, key: Key, secret: str) -> None:
    pipe.hset(keys_key(key.tenant), key.id, digest(secret))
    # Without what it leaves open: gateways of a former release refuse a record with fields that they do not know.
    pipe.set(key_key(digest(secret)), key.model_dump_json(exclude_none=True), exat=key.expires)
    put_key_record(pipe, KeyRecord(**dict(key)))


def put_key_record(pipe: Pipeline, record: KeyRecord) -> None:
    pipe.hset(KEY_RECORDS, record.id, record.model_dump_json())


def readable(kind: type[R], records: Iterable[bytes | None]) -> Iterator[R]:
    """The records that are there and not damaged; `facesearch verify` tells of the others."""
    for record in records:
        with suppress(ValidationError):
            if record is not None:
                yield kind.model_validate_json(record)


async def end_keys(pipe: Pipeline, digests: Sequence[str]) -> Callable[[], None]:
    """What ends the keys of these hashes once the pipeline queues: nothing opens with them any more, and their records
    say since when. Reads first. One whose record is damaged ends too, without a record.
    """
    found = cast("list[bytes | None]", await pipe.mget([key_key(value) for value in digests])) if digests else []
    ended = list(readable(Key, found))

    def end() -> None:
        for value in digests:
            pipe.delete(key_key(value))
        for key in ended:
            put_key_record(pipe, KeyRecord(**dict(key), revoked=now()))

    return end


def put_facedb(pipe: Pipeline, tenant: str, name: str) -> Facedb:
    """A facedb whose collection is new, even if one of that name was dropped before."""
    facedb = Facedb(name=name, collection=f"{tenant}.{name}.{secrets.token_hex(4)}", created=now())
    pipe.set(facedb_key(tenant, name), facedb.model_dump_json())
    pipe.sadd(facedbs_key(tenant), name)
    return facedb


def remove_facedb(pipe: Pipeline, tenant: str, facedb: Facedb, removable: float) -> None:
    pipe.zadd(DROPPED, {facedb.collection: removable})
    pipe.delete(facedb_key(tenant, facedb.name))
    pipe.srem(facedbs_key(tenant), facedb.name)
