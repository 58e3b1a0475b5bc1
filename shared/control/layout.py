"""The Redis keys of control data, and operations on several of them.

fs:tenants                       set of tenant names
fs:tenant:<tenant>               JSON of Tenant
fs:tenant-ids                    hash: tenant -> its id, which is never reused; see tenant_id
fs:key:<SHA-256 of the key>      JSON of Key; expires with the key
fs:keys:<tenant>                 hash: key id -> SHA-256 of the key
fs:key-records                   hash: key id -> JSON of KeyRecord, of every key ever created
fs:facedb:<tenant>:<facedb>      JSON of Facedb
fs:facedbs:<tenant>              set of facedb names
fs:confidence:<tenant>:<facedb>  JSON of Confidence, if it was ever changed
fs:retention:<tenant>:<facedb>   JSON of Retention, if its faces are kept for a limited time
fs:migrations                    see migrations.py
fs:dropped                       sorted set: collections to remove, by the Unix time from which that is safe
fs:dropped-tenants               sorted set: ids of tenants whose idempotency records to remove, likewise
fs:cursor-secret                 see cursor_secret.py
fs:webhook-secrets               hash: tenant id -> secret, see webhook_secrets.py
fs:first-key                     SHA-256 of the latest key of the settings
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

DROP_AFTER_S: Final = 920
"""Time between the drop of a facedb and the removal of its collection. It exceeds the longest deadline of a job (900 s,
of an asynchronous one) plus the time for which gateways cache a facedb, so that no job in flight creates the collection
again."""

TENANTS: Final = "fs:tenants"
TENANT_IDS: Final = "fs:tenant-ids"
DROPPED: Final = "fs:dropped"
DROPPED_TENANTS: Final = "fs:dropped-tenants"
FIRST_KEY: Final = "fs:first-key"
KEY_RECORDS: Final = "fs:key-records"
WEBHOOK_SECRETS: Final = "fs:webhook-secrets"

FIRST_KEY_FILE: Final = "api-key"
"""Name of the file in a data directory that holds the first key, unless a setting does."""


def tenant_key(tenant: str) -> str:
    return f"fs:tenant:{tenant}"


def key_key(secret_digest: str) -> str:
    return f"fs:key:{secret_digest}"


def keys_key(tenant: str) -> str:
    return f"fs:keys:{tenant}"


def facedb_key(tenant: str, facedb: str) -> str:
    return f"fs:facedb:{tenant}:{facedb}"


def confidence_key(tenant: str, facedb: str) -> str:
    return f"fs:confidence:{tenant}:{facedb}"


def retention_key(tenant: str, facedb: str) -> str:
    return f"fs:retention:{tenant}:{facedb}"


def facedbs_key(tenant: str) -> str:
    return f"fs:facedbs:{tenant}"


def digest(secret: str) -> str:
    """Return the SHA-256 of a key in hexadecimal. It may hold surrogate escapes, from headers that are no UTF-8."""
    return hashlib.sha256(secret.encode(errors="surrogateescape")).hexdigest()


def now() -> datetime:
    return datetime.fromtimestamp(int(time.time()), UTC)


@dataclass(frozen=True)
class Connected:
    """A connection to control data. drop_after_s: see DROP_AFTER_S; tests shorten it. first_key_file: the file that may
    hold the first key of this installation, and is removed with that key.
    """

    redis: Redis
    drop_after_s: float = DROP_AFTER_S
    first_key_file: Path | None = None

    async def tenant(self, name: str) -> Tenant:
        """Return the tenant of that name. Raises Unknown."""
        return await read_tenant(self.redis, name)

    async def tenant_id(self, name: str) -> str:
        """Return the id of the tenant of that name. Raises Unknown."""
        await read_tenant(self.redis, name)
        return tenant_id(await self.redis.hget(TENANT_IDS, name), name)

    async def atomically(self, change: Callable[[Pipeline], Awaitable[Any]], *watched: str) -> Any:
        """Run a change in an optimistic transaction and return its result. The change reads, calls `begin` and queues
        its writes, all or none of which are executed; it runs again if a watched key was changed meanwhile.
        """
        return await self.redis.transaction(change, *watched, value_from_callable=True)

    def remove_first_key_file(self, digests: Collection[str]) -> bool:
        """Remove the file of the first key if it holds one of these keys, which are no longer valid. Return whether it
        was removed; a file that cannot be read or removed stays.
        """
        try:
            if self.first_key_file is None or digest(self.first_key_file.read_text().strip()) not in digests:
                return False
            self.first_key_file.unlink()
        except (OSError, UnicodeDecodeError):
            return False
        return True

    async def removable_from(self, redis: Redis) -> float:
        """Return the Unix time from which a collection dropped now may be removed, by the clock of Redis."""
        seconds, _ = await redis.time()
        return float(seconds + self.drop_after_s)


def begin(pipe: Pipeline) -> None:
    """Queue all further commands, to be executed together."""
    pipe.multi()  # type: ignore[no-untyped-call]


async def read_tenant(redis: Redis, name: str) -> Tenant:
    record = await redis.get(tenant_key(name))
    if record is None:
        raise Unknown.tenant(name)
    return Tenant.model_validate_json(record)


def tenant_id(stored: Any, name: str) -> str:
    """Return the id of a tenant. stored: its entry in TENANT_IDS, bytes or None.

    Tenants that an early release created have no entry, and their name as id. The id is not a field of Tenant because
    gateways of such a release refuse records with unknown fields.
    """
    return name if stored is None else str(stored.decode())


async def read_facedb(redis: Redis, tenant: str, name: str) -> Facedb:
    record = await redis.get(facedb_key(tenant, name))
    if record is None:
        raise Unknown.facedb(tenant, name)
    return Facedb.model_validate_json(record)


def put_tenant(pipe: Pipeline, name: str) -> Tenant:
    """Queue the creation of a tenant with an empty default facedb, and return it."""
    tenant = Tenant(name=name, facedb=DEFAULT, created=now())
    pipe.set(tenant_key(name), tenant.model_dump_json())
    pipe.sadd(TENANTS, name)
    pipe.hset(TENANT_IDS, name, secrets.token_hex(8))
    put_facedb(pipe, name, DEFAULT)
    return tenant


def put_key(pipe: Pipeline, key: Key, secret: str) -> None:
    pipe.hset(keys_key(key.tenant), key.id, digest(secret))
    # Without fields that are None: gateways of an earlier release refuse records with unknown fields.
    pipe.set(key_key(digest(secret)), key.model_dump_json(exclude_none=True), exat=key.expires)
    put_key_record(pipe, KeyRecord(**dict(key)))


def put_key_record(pipe: Pipeline, record: KeyRecord) -> None:
    pipe.hset(KEY_RECORDS, record.id, record.model_dump_json())


def readable(kind: type[R], records: Iterable[bytes | None]) -> Iterator[R]:
    """Yield the records that exist and are not damaged; `facesearch verify` reports the others."""
    for record in records:
        with suppress(ValidationError):
            if record is not None:
                yield kind.model_validate_json(record)


async def end_keys(pipe: Pipeline, digests: Sequence[str]) -> Callable[[], None]:
    """Return a function that queues the revocation of the keys with these hashes, and the update of their records. A
    key whose record is damaged is revoked too, without an update.
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
    """Queue the creation of a facedb with a new collection, and return it."""
    facedb = Facedb(name=name, collection=f"{tenant}.{name}.{secrets.token_hex(4)}", created=now())
    pipe.set(facedb_key(tenant, name), facedb.model_dump_json())
    pipe.sadd(facedbs_key(tenant), name)
    return facedb


def remove_facedb(pipe: Pipeline, tenant: str, facedb: Facedb, removable_from: float) -> None:
    pipe.zadd(DROPPED, {facedb.collection: removable_from})
    beside = (confidence_key(tenant, facedb.name), retention_key(tenant, facedb.name))
    pipe.delete(facedb_key(tenant, facedb.name), *beside)
    pipe.srem(facedbs_key(tenant), facedb.name)
