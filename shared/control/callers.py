"""Look-ups of a gateway for a request: the caller, and the face database.

Both use the tenant's id rather than its name. A tenant that was dropped and created again under the same name is
another one, and neither must see the other's data, although gateways cache look-ups for seconds.
"""

from shared.control.layout import TENANT_IDS, Connected, digest, facedb_key, key_key, tenant_id, tenant_key
from shared.control.records import Caller, Facedb, Key, Tenant


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

    async def facedb_of(self, caller: Caller, name: str | None) -> Facedb | None:
        """Return the caller's facedb, by default the tenant's default one; None if it does not exist."""
        if name is None:
            tenant = await self.redis.get(tenant_key(caller.tenant))
            if tenant is None:
                return None
            name = Tenant.model_validate_json(tenant).facedb
        async with self.redis.pipeline() as pipe:
            pipe.hget(TENANT_IDS, caller.tenant)
            pipe.get(facedb_key(caller.tenant, name))
            stored, record = await pipe.execute()
        if record is None or tenant_id(stored, caller.tenant) != caller.tenant_id:
            return None
        return Facedb.model_validate_json(record)
