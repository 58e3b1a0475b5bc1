"""For how long the faces of a facedb are kept.

It is a record beside the facedb's own, because gateways of an earlier release refuse records with unknown fields.
"""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Final, cast

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline

from shared.control.layout import Connected, begin, facedb_key, now, read_facedb, readable, retention_key
from shared.control.migrations import read_all_migrations
from shared.control.records import MOST_DAYS, Conflict, Facedb, ListedFacedb, Retention
from shared.errors import OperatorError

TURN: Final = "fs:retention-turn"
"""Held by the worker that removes old faces, and for some time after it is done. A change removes it, so that a pass in
progress ends and a worker begins another."""


ERASE: Final = "fs:retention-erase"
"""Sorted set: collections with deleted faces whose bytes a worker is to erase, by the time of the first deletion."""

ERASE_AFTER_S: Final = 86_400
"""Seconds from the first deletion until the bytes are erased: rewriting a collection each hour would cost more than all
else that a quiet service does."""


class Retentions(Connected):
    """The part of Control for the retention of facedbs. by: who changes it, as in the audit trail."""

    async def listed(self, tenant: str, facedbs: Sequence[Facedb]) -> list[ListedFacedb]:
        """Return these facedbs of the tenant with their retention, and how far their migration is."""
        keys = [retention_key(tenant, facedb.name) for facedb in facedbs]
        records = cast("list[bytes | None]", await self.redis.mget(keys)) if keys else []
        migrations = await read_all_migrations(self.redis)
        listed = []
        for facedb, record in zip(facedbs, records, strict=True):
            retention = _of(facedb, record)
            days = None if retention is None else retention.days
            migration = migrations.get(facedb.collection)
            state = None if migration is None or migration.state == "finished" else migration.state
            listed.append(ListedFacedb(**dict(facedb), retention_days=days, migration=state))
        return listed

    async def retention(self, tenant: str, facedb: str) -> Retention | None:
        """Return for how long the faces of the facedb are kept; None for good. Raises Unknown."""
        await self.tenant(tenant)
        return await _read(self.redis, tenant, await read_facedb(self.redis, tenant, facedb))

    async def set_retention(self, tenant: str, facedb: str, days: int, by: str) -> Retention:
        """Keep faces for this many days, 1 to MOST_DAYS, from now on. Those that are older go at once. Raises Unknown,
        and OperatorError for another number.
        """
        if not 1 <= days <= MOST_DAYS:
            raise OperatorError(f"faces are kept for 1 to {MOST_DAYS} days, or for good")
        await self.tenant(tenant)

        async def put(pipe: Pipeline) -> Retention:
            kept = await read_facedb(pipe, tenant, facedb)
            record, when = await _read(pipe, tenant, kept), now()
            since = when if record is None else record.since
            made = Retention(created=kept.created, days=days, since=since, changed=when, by=by)
            begin(pipe)
            pipe.set(retention_key(tenant, facedb), made.model_dump_json())
            pipe.delete(TURN)
            return made

        return cast("Retention", await self.atomically(put, *self._watched(tenant, facedb)))

    async def remove_retention(self, tenant: str, facedb: str) -> None:
        """Keep the faces for good from now on. Raises Unknown, and Conflict if they are."""
        await self.tenant(tenant)

        async def remove(pipe: Pipeline) -> None:
            if await _read(pipe, tenant, await read_facedb(pipe, tenant, facedb)) is None:
                raise Conflict(f"the faces of facedb {facedb} of tenant {tenant} are kept for good already")
            begin(pipe)
            pipe.delete(retention_key(tenant, facedb), TURN)

        await self.atomically(remove, *self._watched(tenant, facedb))

    async def erase_soon(self, collections: Collection[str]) -> datetime:
        """Have a worker erase the bytes of what was deleted in these collections, as soon as no outcome of a job names
        it any more, and return from when on.
        """
        begins = await self.removable_from(self.redis)
        async with self.redis.pipeline() as pipe:
            pipe.zadd(ERASE, dict.fromkeys(collections, begins - ERASE_AFTER_S))
            pipe.delete(TURN)
            await pipe.execute()
        return datetime.fromtimestamp(begins, UTC)

    def _watched(self, tenant: str, facedb: str) -> tuple[str, str]:
        return facedb_key(tenant, facedb), retention_key(tenant, facedb)


async def _read(redis: Redis, tenant: str, facedb: Facedb) -> Retention | None:
    return _of(facedb, cast("bytes | None", await redis.get(retention_key(tenant, facedb.name))))


def _of(facedb: Facedb, record: bytes | None) -> Retention | None:
    """Return the retention of the facedb; a record that is damaged, or of a former facedb, counts as none."""
    return next((found for found in readable(Retention, [record]) if found.created == facedb.created), None)
