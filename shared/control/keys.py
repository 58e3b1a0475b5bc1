"""Keys: shown once, kept as a hash, gone when revoked or over."""

import secrets
import time
from datetime import datetime
from typing import cast

from redis.asyncio.client import Pipeline

from shared.contract import Confidences, HttpStatus
from shared.control.layout import (
    DEFAULT,
    FIRST_KEY,
    TENANTS,
    Connected,
    begin,
    digest,
    key_key,
    keys_key,
    now,
    put_key,
    put_tenant,
    read_tenant,
    tenant_key,
)
from shared.control.records import Key, Scope, Unknown, check_name
from shared.errors import OperatorError


class Keys(Connected):
    """The part of Control that is about keys."""

    async def key(self, secret: str) -> Key | None:
        """What an API key opens, None for an unknown one. Whether it has expired is for the caller to ask."""
        record = await self.redis.get(key_key(digest(secret)))
        return None if record is None else Key.model_validate_json(record)

    async def keys(self, tenant: str) -> list[Key]:
        """The tenant's keys that work, oldest first. Raises Unknown."""
        await self.tenant(tenant)
        digests = cast("dict[bytes, bytes]", await self.redis.hgetall(keys_key(tenant)))
        if not digests:
            return []
        records = await self.redis.mget([key_key(value.decode()) for value in digests.values()])
        # Redis lets a record expire and knows nothing of the hash. No id is given twice, so none is forgotten wrongly.
        expired = [key_id for key_id, record in zip(digests, records, strict=True) if record is None]
        if expired:
            await self.redis.hdel(keys_key(tenant), *expired)
        keys = [Key.model_validate_json(record) for record in records if record is not None]
        return sorted(keys, key=lambda key: (key.created, key.id))

    async def ensure_tenant(self) -> bool:
        """Make the default tenant if there is no tenant, so that a first key has an owner. Returns whether anybody
        has a key.
        """

        async def look(pipe: Pipeline) -> bool:
            tenants = cast("set[bytes]", await pipe.smembers(TENANTS))
            counts = [await pipe.hlen(keys_key(name.decode())) for name in tenants]
            begin(pipe)
            if not tenants:
                put_tenant(pipe, DEFAULT)
            return any(counts)

        return cast("bool", await self.atomically(look, TENANTS))

    async def create_key(
        self,
        tenant: str,
        name: str,
        *,
        scopes: frozenset[Scope] = frozenset(Scope),
        expires: datetime | None = None,
        rate: float | None = None,
        concurrency: int | None = None,
        http_status: HttpStatus | None = None,
        confidence: Confidences | None = None,
    ) -> tuple[Key, str]:
        """A new key and its secret, which is kept nowhere: this is the only time it can be shown. Raises Unknown.
        expires: cut to whole seconds.
        """
        expires = expires and expires.replace(microsecond=0)
        check_name("key", name)
        if not scopes:
            raise OperatorError(f"a key needs one scope at least, of {', '.join(Scope)}")
        if expires is not None and expires.timestamp() <= time.time():
            raise OperatorError(f"the key would never work: it expires at {expires:%Y-%m-%d %H:%M:%S}, which is over")
        # Lists them for its side effect: expired ids must not pile up where nobody ever lists.
        await self.keys(tenant)
        key = _key(
            tenant,
            name,
            scopes=scopes,
            expires=expires,
            rate=rate,
            concurrency=concurrency,
            http_status=http_status,
            confidence=confidence,
        )
        secret = f"fs_{secrets.token_urlsafe(24)}"

        async def create(pipe: Pipeline) -> None:
            await read_tenant(pipe, tenant)
            begin(pipe)
            put_key(pipe, key, secret)

        await self.atomically(create, tenant_key(tenant))
        return key, secret

    async def revoke_key(self, tenant: str, key_id: str) -> None:
        """The key stops working as soon as the gateways' caches forget it. Raises Unknown."""
        ids = keys_key(tenant)

        async def revoke(pipe: Pipeline) -> None:
            await read_tenant(pipe, tenant)
            found = cast("bytes | None", await pipe.hget(ids, key_id))
            if found is None:
                raise Unknown(f"tenant {tenant} has no key {key_id}")
            begin(pipe)
            pipe.delete(key_key(found.decode()))
            pipe.hdel(ids, key_id)

        await self.atomically(revoke, ids)

    async def set_first_key(self, secret: str) -> None:
        """Make the key from the settings open the default tenant; the one they held before stops working.

        Nothing happens when it was set before: a key that an operator revoked stays revoked though the settings still
        hold it. A key that an operator made stays what it is.
        """
        record = key_key(digest(secret))

        async def put(pipe: Pipeline) -> None:
            previous = cast("bytes | None", await pipe.get(FIRST_KEY))
            if previous is not None and previous.decode() == digest(secret):
                return
            replaced = None if previous is None else await pipe.get(key_key(previous.decode()))
            has_tenant = await pipe.exists(tenant_key(DEFAULT))
            is_known = await pipe.exists(record)
            begin(pipe)
            if previous is not None and replaced is not None:
                old = Key.model_validate_json(replaced)
                pipe.delete(key_key(previous.decode()))
                pipe.hdel(keys_key(old.tenant), old.id)
            if not has_tenant:
                put_tenant(pipe, DEFAULT)
            if not is_known:
                put_key(pipe, _key(DEFAULT, DEFAULT), secret)
            pipe.set(FIRST_KEY, digest(secret))

        await self.atomically(put, FIRST_KEY, tenant_key(DEFAULT), record)


def _key(
    tenant: str,
    name: str,
    *,
    scopes: frozenset[Scope] = frozenset(Scope),
    expires: datetime | None = None,
    rate: float | None = None,
    concurrency: int | None = None,
    http_status: HttpStatus | None = None,
    confidence: Confidences | None = None,
) -> Key:
    if rate is not None and not 0 <= rate < float("inf"):
        raise OperatorError("the rate is a number of requests a second, 0 or more; 0: any")
    if concurrency is not None and concurrency < 0:
        raise OperatorError("the concurrency is a number of requests at once, 0 or more; 0: any")
    return Key(
        id=secrets.token_hex(6),
        tenant=tenant,
        name=name,
        scopes=scopes,
        created=now(),
        expires=expires,
        rate=rate,
        concurrency=concurrency,
        http_status=http_status,
        confidence=confidence,
    )
