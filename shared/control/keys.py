"""API keys. A key is shown once and stored as a hash until it is revoked or expires; its record is kept forever."""

import secrets
import time
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import cast

from redis.asyncio.client import Pipeline

from shared.contract import Confidences, HttpStatus
from shared.control.layout import (
    DEFAULT,
    FIRST_KEY,
    KEY_RECORDS,
    TENANTS,
    Connected,
    begin,
    digest,
    end_keys,
    key_key,
    keys_key,
    now,
    put_key,
    put_tenant,
    read_tenant,
    readable,
    tenant_key,
)
from shared.control.records import LEAST_RATE, MOST_RATE, Key, KeyRecord, Scope, Unknown, check_name
from shared.errors import OperatorError


class Keys(Connected):
    """The part of Control for API keys."""

    async def key(self, secret: str) -> Key | None:
        """Return the key with this secret; None if it is unknown. It may have expired."""
        record = await self.redis.get(key_key(digest(secret)))
        return None if record is None else Key.model_validate_json(record)

    async def keys(self, tenant: str) -> list[Key]:
        """Return the tenant's valid keys, oldest first. Raises Unknown."""
        await self.tenant(tenant)
        digests = cast("dict[bytes, bytes]", await self.redis.hgetall(keys_key(tenant)))
        if not digests:
            return []
        records = await self.redis.mget([key_key(value.decode()) for value in digests.values()])
        # Redis removes expired records, but not their ids in the hash. Ids are never reused.
        expired = [key_id for key_id, record in zip(digests, records, strict=True) if record is None]
        if expired:
            await self.redis.hdel(keys_key(tenant), *expired)
        keys = [Key.model_validate_json(record) for record in records if record is not None]
        await self._record(keys)
        return sorted(keys, key=lambda key: (key.created, key.id))

    async def key_records(self, tenant: str) -> list[KeyRecord]:
        """Return every key that the tenant has or had, oldest first. Raises Unknown."""
        await self.keys(tenant)
        found = cast("dict[bytes, bytes]", await self.redis.hgetall(KEY_RECORDS))
        own = (key for key in readable(KeyRecord, found.values()) if key.tenant == tenant)
        return sorted(own, key=lambda key: (key.created, key.id))

    async def key_names(self, key_ids: Collection[str]) -> dict[str, str]:
        """Return the names of these keys by id, valid or not, without unknown keys."""
        found = await self._records(list(key_ids))
        return {key.id: key.name for key in readable(KeyRecord, found.values())}

    async def ensure_tenant(self) -> bool:
        """Create the default tenant if there is no tenant, so that a first key has an owner. Return whether any key
        exists.
        """

        async def ensure(pipe: Pipeline) -> bool:
            tenants = cast("set[bytes]", await pipe.smembers(TENANTS))
            counts = [await pipe.hlen(keys_key(name.decode())) for name in tenants]
            begin(pipe)
            if not tenants:
                put_tenant(pipe, DEFAULT)
            return any(counts)

        return cast("bool", await self.atomically(ensure, TENANTS))

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
        """Create a key, and return it with its secret, which is not stored. expires: rounded down to whole seconds.

        Raises Unknown, and OperatorError for invalid arguments.
        """
        expires = expires and expires.replace(microsecond=0)
        check_name("key", name)
        if not scopes:
            raise OperatorError(f"a key needs one scope at least, of {', '.join(Scope)}")
        if expires is not None and expires.timestamp() <= time.time():
            raise OperatorError(f"the key would never work: it expires at {expires:%Y-%m-%d %H:%M:%S}, which is over")
        # Removes the ids of expired keys, which would otherwise accumulate where keys are never listed.
        await self.keys(tenant)
        _check_limits(rate, concurrency)
        key = Key(
            id=_new_id(),
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
        secret = f"fs_{secrets.token_urlsafe(24)}"

        async def create(pipe: Pipeline) -> None:
            await read_tenant(pipe, tenant)
            begin(pipe)
            put_key(pipe, key, secret)

        await self.atomically(create, tenant_key(tenant))
        return key, secret

    async def revoke_key(self, tenant: str, key_id: str) -> bool:
        """Revoke a key, which stops working once the gateways' caches forget it; its record stays. Return whether the
        file of the first key held it and was removed. Raises Unknown.
        """
        ids = keys_key(tenant)

        async def revoke(pipe: Pipeline) -> str:
            await read_tenant(pipe, tenant)
            found = cast("bytes | None", await pipe.hget(ids, key_id))
            if found is None:
                raise Unknown(f"tenant {tenant} has no key {key_id}", f"keys list --tenant {tenant}")
            end = await end_keys(pipe, [found.decode()])
            begin(pipe)
            end()
            pipe.hdel(ids, key_id)
            return found.decode()

        return self.remove_first_key_file([cast("str", await self.atomically(revoke, ids))])

    async def set_first_key(self, secret: str) -> None:
        """Make the key of the settings a key of the default tenant; the previous key of the settings stops working.

        A key that was set before is left alone: one that was revoked stays revoked although the settings still hold
        it. A key that an operator created is not changed.
        """
        record = key_key(digest(secret))

        async def put(pipe: Pipeline) -> None:
            previous = cast("bytes | None", await pipe.get(FIRST_KEY))
            if previous is not None and previous.decode() == digest(secret):
                return
            replaced = None if previous is None else await pipe.get(key_key(previous.decode()))
            end = await end_keys(pipe, [] if previous is None else [previous.decode()])
            has_tenant = await pipe.exists(tenant_key(DEFAULT))
            is_known = await pipe.exists(record)
            begin(pipe)
            if previous is not None and replaced is not None:
                old = Key.model_validate_json(replaced)
                end()
                pipe.hdel(keys_key(old.tenant), old.id)
            if not has_tenant:
                put_tenant(pipe, DEFAULT)
            if not is_known:
                key = Key(id=_new_id(), tenant=DEFAULT, name=DEFAULT, scopes=frozenset(Scope), created=now())
                put_key(pipe, key, secret)
            pipe.set(FIRST_KEY, digest(secret))

        await self.atomically(put, FIRST_KEY, tenant_key(DEFAULT), record)

    async def _record(self, keys: Sequence[Key]) -> None:
        """Create the records of keys that have none: earlier releases kept none."""
        known = await self._records([key.id for key in keys])
        async with self.redis.pipeline() as pipe:
            for key in keys:
                if key.id not in known:  # one that a concurrent revocation has written stays
                    pipe.hsetnx(KEY_RECORDS, key.id, KeyRecord(**dict(key)).model_dump_json())
            await pipe.execute()

    async def _records(self, key_ids: list[str]) -> dict[str, bytes]:
        found = cast("list[bytes | None]", await self.redis.hmget(KEY_RECORDS, key_ids)) if key_ids else []
        return {key_id: record for key_id, record in zip(key_ids, found, strict=True) if record is not None}


def _check_limits(rate: float | None, concurrency: int | None) -> None:
    if rate is not None and rate != 0 and not LEAST_RATE <= rate <= MOST_RATE:
        raise OperatorError(
            f"the rate is a number of requests a second, {LEAST_RATE:f} to {MOST_RATE:,.0f}, or 0 for any; "
            f"{rate:g} cannot be counted"
        )
    if concurrency is not None and concurrency < 0:
        raise OperatorError("the concurrency is a number of requests at once, 0 or more; 0: any")


def _new_id() -> str:
    return secrets.token_hex(6)
