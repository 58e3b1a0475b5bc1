"""Keys: shown once, kept as a hash, which is gone when they are revoked or over; what they were is kept for good."""

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
        await self._record(keys)
        return sorted(keys, key=lambda key: (key.created, key.id))

    async def key_records(self, tenant: str) -> list[KeyRecord]:
        """Every key that the tenant has or had, oldest first. Raises Unknown."""
        await self.keys(tenant)
        found = cast("dict[bytes, bytes]", await self.redis.hgetall(KEY_RECORDS))
        mine = (key for key in readable(KeyRecord, found.values()) if key.tenant == tenant)
        return sorted(mine, key=lambda key: (key.created, key.id))

    async def key_names(self, key_ids: Collection[str]) -> dict[str, str]:
        """The names of these keys, whether they still work or not, by id; without those that nothing is known of."""
        found = await self._records(list(key_ids))
        return {key.id: key.name for key in readable(KeyRecord, found.values())}

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

    async def revoke_key(self, tenant: str, key_id: str) -> bool:
        """The key stops working as soon as the gateways' caches forget it; its record stays. Returns whether it was the
        one in the file of the first key, which is gone now. Raises Unknown.
        """
        ids = keys_key(tenant)

        async def revoke(pipe: Pipeline) -> str:
            await read_tenant(pipe, tenant)
            found = cast("bytes | None", await pipe.hget(ids, key_id))
            if found is None:
                raise Unknown(f"tenant {tenant} has no key {key_id}")
            end = await end_keys(pipe, [found.decode()])
            begin(pipe)
            end()
            pipe.hdel(ids, key_id)
            return found.decode()

        return self.forget_file_of([cast("str", await self.atomically(revoke, ids))])

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
                put_key(pipe, _key(DEFAULT, DEFAULT), secret)
            pipe.set(FIRST_KEY, digest(secret))

        await self.atomically(put, FIRST_KEY, tenant_key(DEFAULT), record)

    async def _record(self, keys: Sequence[Key]) -> None:
        """Make the records of keys that have none, as those of a release that kept none."""
        known = await self._records([key.id for key in keys])
        async with self.redis.pipeline() as pipe:
            for key in keys:
                if key.id not in known:  # whoever revokes it meanwhile has made one, which stays
                    pipe.hsetnx(KEY_RECORDS, key.id, KeyRecord(**dict(key)).model_dump_json())
            await pipe.execute()

    async def _records(self, key_ids: list[str]) -> dict[str, bytes]:
        found = cast("list[bytes | None]", await self.redis.hmget(KEY_RECORDS, key_ids)) if key_ids else []
        return {key_id: record for key_id, record in zip(key_ids, found, strict=True) if record is not None}


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
    if rate is not None and rate != 0 and not LEAST_RATE <= rate <= MOST_RATE:
        raise OperatorError(
            f"the rate is a number of requests a second, {LEAST_RATE:f} to {MOST_RATE:,.0f}, or 0 for any; "
            f"{rate:g} cannot be counted"
        )
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
