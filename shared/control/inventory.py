"""Which collections control data leads to, for those who read it with a blocking client: workers and commands."""

from typing import cast

from redis import Redis

from shared.control.layout import TENANT_IDS, TENANTS, facedb_key, facedbs_key, readable
from shared.control.records import Facedb


def names_of_tenants(redis: Redis) -> dict[str, str]:
    """The name of each tenant that has an id, by that. Raises redis.RedisError."""
    ids = cast("dict[bytes, bytes]", redis.hgetall(TENANT_IDS))
    return {known_by.decode(): name.decode() for name, known_by in ids.items()}


def in_use(redis: Redis) -> dict[str, str]:
    """What each collection of a face database is to an operator ("facedb staff of tenant shop"), by its name. One whose
    record is damaged is left out. Raises redis.RedisError.
    """
    tenants = sorted(member.decode() for member in cast("set[bytes]", redis.smembers(TENANTS)))
    with redis.pipeline(transaction=False) as pipe:
        for tenant in tenants:
            pipe.smembers(facedbs_key(tenant))
        members = cast("list[set[bytes]]", pipe.execute())
    names = [(tenant, name.decode()) for tenant, held in zip(tenants, members, strict=True) for name in sorted(held)]
    keys = [facedb_key(tenant, name) for tenant, name in names]
    records = cast("list[bytes | None]", redis.mget(keys)) if keys else []
    return {
        facedb.collection: f"facedb {name} of tenant {tenant}"
        for (tenant, name), record in zip(names, records, strict=True)
        for facedb in readable(Facedb, [record])
    }
