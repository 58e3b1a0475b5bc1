"""Tenants. They are created with a facedb, and dropped with their keys and facedbs."""

from typing import cast

from redis.asyncio.client import Pipeline

from shared.control.layout import (
    DROPPED_TENANTS,
    TENANT_IDS,
    TENANTS,
    WEBHOOK_SECRETS,
    Connected,
    begin,
    end_keys,
    facedb_key,
    facedbs_key,
    keys_key,
    put_tenant,
    read_tenant,
    remove_facedb,
    tenant_id,
    tenant_key,
)
from shared.control.records import Conflict, Facedb, Tenant, check_name


class Tenants(Connected):
    """The part of Control for tenants."""

    async def create_tenant(self, name: str) -> Tenant:
        """Create a tenant with an empty facedb called `default`. Raises Conflict."""
        check_name("tenant", name)

        async def create(pipe: Pipeline) -> Tenant:
            if await pipe.exists(tenant_key(name)):
                raise Conflict(f"tenant {name} exists already")
            begin(pipe)
            return put_tenant(pipe, name)

        return cast("Tenant", await self.atomically(create, tenant_key(name)))

    async def tenants(self) -> list[Tenant]:
        """Return all tenants, ordered by name."""
        names = sorted(cast("set[bytes]", await self.redis.smembers(TENANTS)))
        records = await self.redis.mget([tenant_key(name.decode()) for name in names]) if names else []
        return [Tenant.model_validate_json(record) for record in records if record is not None]

    async def drop_tenant(self, name: str) -> None:
        """Remove a tenant, its keys and its facedbs; a worker removes its faces and its idempotency records once no job
        in flight can touch them. Raises Unknown.
        """
        keys, facedbs = keys_key(name), facedbs_key(name)

        async def drop(pipe: Pipeline) -> list[str]:
            await read_tenant(pipe, name)
            digests = [value.decode() for value in cast("list[bytes]", await pipe.hvals(keys))]
            end = await end_keys(pipe, digests)
            names = cast("set[bytes]", await pipe.smembers(facedbs))
            records = await pipe.mget([facedb_key(name, facedb.decode()) for facedb in names]) if names else []
            identifier = tenant_id(await pipe.hget(TENANT_IDS, name), name)
            removable_from = await self.removable_from(pipe)
            begin(pipe)
            end()
            for record in records:
                if record is not None:
                    remove_facedb(pipe, name, Facedb.model_validate_json(record), removable_from)
            pipe.delete(tenant_key(name), keys, facedbs)
            pipe.srem(TENANTS, name)
            pipe.hdel(TENANT_IDS, name)
            pipe.hdel(WEBHOOK_SECRETS, identifier)
            pipe.zadd(DROPPED_TENANTS, {identifier: removable_from})
            return digests

        self.remove_first_key_file(await self.atomically(drop, tenant_key(name), keys, facedbs))
