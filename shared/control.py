"""Control data in Redis: tenants, their keys and their face databases.

    fs:tenants                       set of tenant names
    fs:tenant:<tenant>               JSON of Tenant
    fs:key:<SHA-256 of the key>      JSON of Key: one look-up opens a request
    fs:keys:<tenant>                 hash: key id -> SHA-256 of the key
    fs:facedb:<tenant>:<facedb>      JSON of Facedb
    fs:facedbs:<tenant>              set of facedb names
    fs:dropped                       sorted set: collections to remove, by the Unix time from which it is safe
    fs:first-key                     SHA-256 of the key that came from the settings

Keys have 128 bits and more, so a plain SHA-256 is as hard to invert as the key is to guess, and costs microseconds.
"""

import hashlib
import secrets
import time
import uuid
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Final, cast

from pydantic import BaseModel, ConfigDict, Field
from redis.asyncio import Redis

from shared.contract import FACEDB
from shared.errors import OperatorError

DEFAULT: Final = "default"
"""Name of the first tenant, of its facedb and of its first key."""

DROP_AFTER_S: Final = 320
"""How long after a facedb is dropped its collection is removed: above the longest deadline a job may have (300 s), so
that no job in flight brings the collection back."""

_FIRST_KEY: Final = "fs:first-key"
DROPPED: Final = "fs:dropped"
_TENANTS: Final = "fs:tenants"

Name = Annotated[str, Field(pattern=rf"^{FACEDB.pattern}$")]
"""Of a tenant, a facedb or a key: 1 to 64 letters, digits, - or _."""


class Scope(StrEnum):
    """What a key may do."""

    ADD = "add"
    SEARCH = "search"
    DELETE = "delete"


class Tenant(BaseModel):
    """Somebody with keys and face databases of their own. facedb: the one that is meant when a request names none.
    created: Unix time in seconds, here and below.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name
    facedb: Name
    created: int


class Key(BaseModel):
    """An API key, without the key itself. expires: Unix time from which it no longer works, None for never.
    rate: requests a second, concurrency: requests at once; None for the default of the settings.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    tenant: Name
    name: Name
    scopes: frozenset[Scope]
    created: int
    expires: int | None = None
    rate: float | None = None
    concurrency: int | None = None

    def expired(self) -> bool:
        return self.expires is not None and time.time() >= self.expires


class Facedb(BaseModel):
    """A face database: one collection of the store."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name
    collection: str
    created: int


@dataclass(frozen=True)
class Control:
    """Reads and writes control data. Methods raise redis.RedisError when Redis cannot be reached, and OperatorError,
    with a sentence for the operator, when what they are asked for does not exist or exists already.
    """

    redis: Redis

    # Tenants

    async def create_tenant(self, name: str) -> Tenant:
        """A new tenant with an empty facedb called `default`."""
        tenant = Tenant(name=name, facedb=DEFAULT, created=int(time.time()))
        if not await self.redis.set(f"fs:tenant:{name}", tenant.model_dump_json(), nx=True):
            raise OperatorError(f"tenant {name} exists already")
        await self.redis.sadd(_TENANTS, name)
        await self.create_facedb(name, DEFAULT)
        return tenant

    async def tenant(self, name: str) -> Tenant:
        record = await self.redis.get(f"fs:tenant:{name}")
        if record is None:
            raise OperatorError(f"there is no tenant {name}; `facesearch tenants list` names them")
        return Tenant.model_validate_json(record)

    async def tenants(self) -> list[Tenant]:
        """All of them, by name."""
        names = sorted(cast("set[bytes]", await self.redis.smembers(_TENANTS)))
        return [await self.tenant(name.decode()) for name in names]

    async def drop_tenant(self, name: str) -> None:
        """Revoke all its keys and drop all its facedbs."""
        await self.tenant(name)
        for key in await self.keys(name):
            await self.revoke_key(name, key.id)
        for facedb in await self.facedbs(name):
            await self._drop(name, facedb)
        await self.redis.delete(f"fs:tenant:{name}")
        await self.redis.srem(_TENANTS, name)

    # Keys

    async def key(self, secret: str) -> Key | None:
        """What an API key opens, None for an unknown one. Whether it has expired is for the caller to ask."""
        record = await self.redis.get(f"fs:key:{_digest(secret)}")
        return None if record is None else Key.model_validate_json(record)

    async def create_key(
        self,
        tenant: str,
        name: str,
        *,
        scopes: frozenset[Scope] = frozenset(Scope),
        expires: int | None = None,
        rate: float | None = None,
        concurrency: int | None = None,
    ) -> tuple[Key, str]:
        """A new key and its secret, which is kept nowhere: this is the only time it can be shown."""
        await self.tenant(tenant)
        secret = f"fs_{secrets.token_urlsafe(24)}"
        key = Key(
            id=uuid.uuid4().hex[:12],
            tenant=tenant,
            name=name,
            scopes=scopes,
            created=int(time.time()),
            expires=expires,
            rate=rate,
            concurrency=concurrency,
        )
        await self._put_key(key, _digest(secret))
        return key, secret

    async def keys(self, tenant: str) -> list[Key]:
        """The tenant's keys, oldest first."""
        await self.tenant(tenant)
        digests = list(cast("dict[bytes, bytes]", await self.redis.hgetall(f"fs:keys:{tenant}")).values())
        records = await self.redis.mget([f"fs:key:{digest.decode()}" for digest in digests]) if digests else []
        keys = [Key.model_validate_json(record) for record in records if record is not None]
        return sorted(keys, key=lambda key: (key.created, key.id))

    async def revoke_key(self, tenant: str, key_id: str) -> None:
        """The key stops working as soon as the gateways' caches forget it."""
        digest = cast("bytes | None", await self.redis.hget(f"fs:keys:{tenant}", key_id))
        if digest is None:
            raise OperatorError(f"tenant {tenant} has no key {key_id}; `facesearch keys list` names them")
        await self.redis.delete(f"fs:key:{digest.decode()}")
        await self.redis.hdel(f"fs:keys:{tenant}", key_id)

    async def set_first_key(self, secret: str) -> None:
        """Make the key from the settings open the default tenant; the one set before it stops working."""
        digest = _digest(secret)
        if not await self.redis.exists(f"fs:tenant:{DEFAULT}"):
            await self.create_tenant(DEFAULT)
        previous = cast("bytes | None", await self.redis.set(_FIRST_KEY, digest, get=True))
        if previous is not None and previous.decode() != digest:
            record = await self.redis.get(f"fs:key:{previous.decode()}")
            if record is not None:
                await self.revoke_key(DEFAULT, Key.model_validate_json(record).id)
        if await self.redis.exists(f"fs:key:{digest}"):
            return
        created = int(time.time())
        key = Key(id=digest[:12], tenant=DEFAULT, name=DEFAULT, scopes=frozenset(Scope), created=created)
        await self._put_key(key, digest)

    async def _put_key(self, key: Key, digest: str) -> None:
        await self.redis.hset(f"fs:keys:{key.tenant}", key.id, digest)
        await self.redis.set(f"fs:key:{digest}", key.model_dump_json())

    # Face databases

    async def facedb(self, tenant: str, name: str) -> Facedb | None:
        """The tenant's facedb of that name, or None if the tenant has none."""
        record = await self.redis.get(f"fs:facedb:{tenant}:{name}")
        return None if record is None else Facedb.model_validate_json(record)

    async def default_facedb(self, tenant: str) -> Facedb | None:
        """The facedb that is meant when a request names none."""
        record = await self.redis.get(f"fs:tenant:{tenant}")
        return None if record is None else await self.facedb(tenant, Tenant.model_validate_json(record).facedb)

    async def facedbs(self, tenant: str) -> list[Facedb]:
        """The tenant's facedbs, by name."""
        await self.tenant(tenant)
        names = sorted(cast("set[bytes]", await self.redis.smembers(f"fs:facedbs:{tenant}")))
        found = [await self.facedb(tenant, name.decode()) for name in names]
        return [facedb for facedb in found if facedb is not None]

    async def create_facedb(self, tenant: str, name: str) -> Facedb:
        """A new, empty facedb. Its collection is new even if one of that name was dropped before."""
        await self.tenant(tenant)
        collection = f"{tenant}.{name}.{secrets.token_hex(4)}"
        facedb = Facedb(name=name, collection=collection, created=int(time.time()))
        if not await self.redis.set(f"fs:facedb:{tenant}:{name}", facedb.model_dump_json(), nx=True):
            raise OperatorError(f"tenant {tenant} has a facedb {name} already")
        await self.redis.sadd(f"fs:facedbs:{tenant}", name)
        return facedb

    async def set_default_facedb(self, tenant: str, name: str) -> None:
        """Make a facedb the one that is meant when a request names none."""
        record = await self.tenant(tenant)
        await self._existing(tenant, name)
        await self.redis.set(f"fs:tenant:{tenant}", record.model_copy(update={"facedb": name}).model_dump_json())

    async def drop_facedb(self, tenant: str, name: str) -> None:
        """Forget a facedb now; a worker removes its faces once no job in flight can touch them."""
        record = await self.tenant(tenant)
        facedb = await self._existing(tenant, name)
        if record.facedb == name:
            raise OperatorError(f"{name} is the default facedb of tenant {tenant}; make another one the default first")
        await self._drop(tenant, facedb)

    async def _drop(self, tenant: str, facedb: Facedb) -> None:
        await self.redis.zadd(DROPPED, {facedb.collection: time.time() + DROP_AFTER_S})
        await self.redis.delete(f"fs:facedb:{tenant}:{facedb.name}")
        await self.redis.srem(f"fs:facedbs:{tenant}", facedb.name)

    async def _existing(self, tenant: str, name: str) -> Facedb:
        facedb = await self.facedb(tenant, name)
        if facedb is None:
            raise OperatorError(f"tenant {tenant} has no facedb {name}; `facesearch facedbs list` names them")
        return facedb


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
