"""What a gateway looks up for a request: who calls, and which of the caller's face databases is meant.

Both go by the tenant's id, not by its name: a tenant that was dropped and made again under the same name is another
one, and neither sees what is of the other, though gateways remember for seconds what they looked up.
"""

from shared.control.layout import TENANT_IDS, Connected, digest, facedb_key, key_key, tenant_id, tenant_key
from shared.control.records import Caller, Facedb, Key, Tenant


class Callers(Connected):
    """The part of Control that is about requests."""

    async def caller(self, secret: str) -> Caller | None:
        """What an API key opens and for which tenant, None for an unknown one. Whether it has expired is for the caller
        to ask.
        """
        where = key_key(digest(secret))
        record = await self.redis.get(where)
        if record is None:
            return None
        key = Key.model_validate_json(record)
        async with self.redis.pipeline() as pipe:
            pipe.hget(TENANT_IDS, key.tenant)
            pipe.get(where)
            stored, still = await pipe.execute()
        # Keys go with their tenant: as long as this one is there, the id is of the tenant that made it.
        return Caller(**dict(key), tenant_id=tenant_id(stored, key.tenant)) if still == record else None

    async def facedb_of(self, caller: Caller, name: str | None) -> Facedb | None:
        """The caller's facedb of that name, or None if there is none; name None: the tenant's default one."""
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
