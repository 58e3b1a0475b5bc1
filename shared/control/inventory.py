"""The tenants and collections of control data, read with a blocking client by workers and commands."""

from collections.abc import Iterator
from typing import cast

from redis import Redis

from shared.control.layout import TENANT_IDS, TENANTS, facedb_key, facedbs_key, readable, retention_key
from shared.control.migrations import read_migrations
from shared.control.records import Facedb, Retention


def names_of_tenants(redis: Redis) -> dict[str, str]:
    """Return the names of all tenants that have an id, by id. Raises redis.RedisError."""
    ids = cast("dict[bytes, bytes]", redis.hgetall(TENANT_IDS))
    return {tenant.decode(): name.decode() for name, tenant in ids.items()}


def in_use(redis: Redis) -> dict[str, str]:
    """Return a description of every face database ("facedb staff of tenant shop") by the name of its collection,
    without those whose records are damaged. Raises redis.RedisError.
    """
    return {facedb.collection: f"facedb {facedb.name} of tenant {tenant}" for tenant, facedb in _facedbs(redis)}


def stored_as(redis: Redis, collection: str) -> str:
    """Return the name of the stored collection that is searched for a facedb. collection: the facedb's own. Raises
    redis.RedisError, and ValueError if the record of a migration is damaged.
    """
    migrations = read_migrations(redis)
    return migrations[collection].current.name if collection in migrations else collection


def searched(redis: Redis) -> dict[str, str]:
    """Return the same by the names of the stored collections that are searched, which are other ones where a facedb was
    migrated to another model. Raises redis.RedisError, and ValueError if the record of a migration is damaged.
    """
    migrations = read_migrations(redis)
    return {
        migrations[collection].current.name if collection in migrations else collection: description
        for collection, description in in_use(redis).items()
    }


def retained(redis: Redis) -> list[tuple[Facedb, Retention]]:
    """Return every face database whose faces are kept for a limited time, with that. A damaged record counts as none.
    Raises redis.RedisError.
    """
    found = list(_facedbs(redis))
    keys = [retention_key(tenant, facedb.name) for tenant, facedb in found]
    records = cast("list[bytes | None]", redis.mget(keys)) if keys else []
    return [
        (facedb, retention)
        for (_, facedb), record in zip(found, records, strict=True)
        for retention in readable(Retention, [record])
        if retention.created == facedb.created
    ]


def _facedbs(redis: Redis) -> Iterator[tuple[str, Facedb]]:
    """Yield every face database whose record can be read, with its tenant."""
    tenants = sorted(member.decode() for member in cast("set[bytes]", redis.smembers(TENANTS)))
    with redis.pipeline(transaction=False) as pipe:
        for tenant in tenants:
            pipe.smembers(facedbs_key(tenant))
        members = cast("list[set[bytes]]", pipe.execute())
    names = [(tenant, name.decode()) for tenant, held in zip(tenants, members, strict=True) for name in sorted(held)]
    keys = [facedb_key(tenant, name) for tenant, name in names]
    records = cast("list[bytes | None]", redis.mget(keys)) if keys else []
    for (tenant, _), record in zip(names, records, strict=True):
        for facedb in readable(Facedb, [record]):
            yield tenant, facedb
