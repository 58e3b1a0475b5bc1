"""Face databases. Names are unique within a tenant; collections are never reused."""

from typing import cast

from redis.asyncio.client import Pipeline

from shared.control.layout import (
    Connected,
    begin,
    facedb_key,
    facedbs_key,
    put_facedb,
    read_facedb,
    read_tenant,
    remove_facedb,
    tenant_key,
)
from shared.control.records import Conflict, Facedb, Tenant, check_name


class Facedbs(Connected):
    """The part of Control for face databases."""

    async def facedb(self, tenant: str, name: str) -> Facedb | None:
        """Return the tenant's facedb of that name, or None."""
        record = await self.redis.get(facedb_key(tenant, name))
        return None if record is None else Facedb.model_validate_json(record)

    async def default_facedb(self, tenant: str) -> Facedb | None:
        """Return the facedb of requests that name none; None if the tenant does not exist."""
        record = await self.redis.get(tenant_key(tenant))
        return None if record is None else await self.facedb(tenant, Tenant.model_validate_json(record).facedb)

    async def facedbs(self, tenant: str) -> list[Facedb]:
        """Return the tenant's facedbs, ordered by name. Raises Unknown."""
        await self.tenant(tenant)
        names = sorted(cast("set[bytes]", await self.redis.smembers(facedbs_key(tenant))))
        records = await self.redis.mget([facedb_key(tenant, name.decode()) for name in names]) if names else []
        return [Facedb.model_validate_json(record) for record in records if record is not None]

    async def create_facedb(self, tenant: str, name: str) -> Facedb:
        """Create an empty facedb. Raises Unknown, Conflict."""
        check_name("facedb", name)

        async def create(pipe: Pipeline) -> Facedb:
            await read_tenant(pipe, tenant)
            if await pipe.exists(facedb_key(tenant, name)):
                raise Conflict(f"tenant {tenant} has a facedb {name} already")
            begin(pipe)
            return put_facedb(pipe, tenant, name)

        return cast("Facedb", await self.atomically(create, tenant_key(tenant), facedb_key(tenant, name)))

    async def set_default_facedb(self, tenant: str, name: str) -> Tenant:
        """Make a facedb the one of requests that name none. Raises Unknown."""

        async def put(pipe: Pipeline) -> Tenant:
            record = await read_tenant(pipe, tenant)
            await read_facedb(pipe, tenant, name)
            changed = record.model_copy(update={"facedb": name})
            begin(pipe)
            pipe.set(tenant_key(tenant), changed.model_dump_json())
            return changed

        return cast("Tenant", await self.atomically(put, tenant_key(tenant), facedb_key(tenant, name)))

    async def drop_facedb(self, tenant: str, name: str) -> None:
        """Remove a facedb now; a worker removes its faces once no job in flight can touch them. Raises Unknown, and
        Conflict for the default facedb.
        """

        async def drop(pipe: Pipeline) -> None:
            record = await read_tenant(pipe, tenant)
            facedb = await read_facedb(pipe, tenant, name)
            if record.facedb == name:
                raise Conflict(f"{name} is the default facedb of tenant {tenant}; make another one the default first")
            removable_from = await self.removable_from(pipe)
            begin(pipe)
            remove_facedb(pipe, tenant, facedb, removable_from)

        await self.atomically(drop, tenant_key(tenant), facedb_key(tenant, name))
