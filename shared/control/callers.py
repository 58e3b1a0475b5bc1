"""Look-ups of a gateway for a request: the caller, and one or all of its face databases.

All use the tenant's id rather than its name. A tenant that was dropped and created again under the same name is
another one, and neither must see the other's data, although gateways cache look-ups for seconds.
"""

from typing import cast

from shared.control.layout import (
    TENANT_IDS,
    Connected,
    confidence_key,
    digest,
    facedb_key,
    facedbs_key,
    key_key,
    readable,
    tenant_id,
    tenant_key,
)
from shared.control.records import Caller, Confidence, Facedb, FoundFacedb, Key, Tenant


class Callers(Connected):
    """The part of Control for requests."""

    async def caller(self, secret: str) -> Caller | None:
        """Return the key with the id of its tenant; None if it is unknown. It may have expired."""
        where = key_key(digest(secret))
        record = await self.redis.get(where)
        if record is None:
            return None
        key = Key.model_validate_json(record)
        async with self.redis.pipeline() as pipe:
            pipe.hget(TENANT_IDS, key.tenant)
            pipe.get(where)
            stored, still = await pipe.execute()
        # Keys are removed with their tenant: while this one exists, the id is that of the tenant that created it.
        return Caller(**dict(key), tenant_id=tenant_id(stored, key.tenant)) if still == record else None

    async def facedb_of(self, caller: Caller, name: str | None) -> FoundFacedb | None:
        """Return the caller's facedb, by default the tenant's default one; None if it does not exist. A damaged record
        of its confidences counts as none.
        """
        if name is None:
            tenant = await self.redis.get(tenant_key(caller.tenant))
            if tenant is None:
                return None
            name = Tenant.model_validate_json(tenant).facedb
        async with self.redis.pipeline() as pipe:
            pipe.hget(TENANT_IDS, caller.tenant)
            pipe.get(facedb_key(caller.tenant, name))
            pipe.get(confidence_key(caller.tenant, name))
            stored, record, changed = await pipe.execute()
        if record is None or tenant_id(stored, caller.tenant) != caller.tenant_id:
            return None
        facedb = Facedb.model_validate_json(record)
        tables = [found.table for found in readable(Confidence, [changed]) if found.collection == facedb.collection]
        return FoundFacedb(**dict(facedb), table=tables[0] if tables else None)

    async def facedbs_of(self, caller: Caller) -> tuple[str, list[Facedb]] | None:
        """Return the name of the default facedb of the caller's tenant, and all its facedbs, ordered by name; None if
        the tenant does not exist any more.
        """
        names = sorted(cast("set[bytes]", await self.redis.smembers(facedbs_key(caller.tenant))))
        async with self.redis.pipeline() as pipe:
            pipe.hget(TENANT_IDS, caller.tenant)
            pipe.mget([tenant_key(caller.tenant), *(facedb_key(caller.tenant, name.decode()) for name in names)])
            stored, (tenant, *records) = await pipe.execute()
        if tenant is None or tenant_id(stored, caller.tenant) != caller.tenant_id:
            return None
        found = [Facedb.model_validate_json(record) for record in records if record is not None]
        return Tenant.model_validate_json(tenant).facedb, found
