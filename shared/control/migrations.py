"""Migrations of face databases from one model to another.

    fs:migrations    hash: the collection of a facedb -> JSON of Migration

A facedb keeps the name of its collection for good: jobs, idempotency records, cursors and claims of deletions are made
with it. A migration gives it a second collection in the store, and says which of the two has the faces that are
searched. Workers read it (worker/migrations.py), and gateways need not know of it. A facedb that was never migrated has
no entry: its faces are in the collection of its name.
"""

import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Final, Literal, cast

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from redis import Redis as BlockingRedis
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.client import Pipeline as BlockingPipeline

from shared.control.layout import Connected, begin, facedb_key, now, read_facedb, readable
from shared.control.records import Conflict, Facedb

MIGRATIONS: Final = "fs:migrations"


class Stored(BaseModel):
    """A collection in the store. identity: of its embeddings, as a text."""

    model_config = ConfigDict(frozen=True, extra="ignore")  # a later release may add fields

    name: str
    identity: str


class Leftover(Stored):
    """A stored collection that is to be removed. due: the Unix time from which that is safe."""

    due: float


class Compared(BaseModel):
    """How searches of photos ended with both models. photos: how many were searched. same: whose best match was the
    same person with both. found, found_before: whose best match reached 80 with the other model, and with the one that
    is searched. strangers, strangers_before: for whom a second person reached 80.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")  # a later release may add fields

    photos: Annotated[int, Field(ge=0)]
    same: Annotated[int, Field(ge=0)]
    found: Annotated[int, Field(ge=0)]
    found_before: Annotated[int, Field(ge=0)]
    strangers: Annotated[int, Field(ge=0)]
    strangers_before: Annotated[int, Field(ge=0)]


class Migration(BaseModel):
    """Where the faces of a facedb are. collection: the facedb's own. current: what is searched. other: what is filled,
    while `filling`, or what was searched before, once `switched`; None while there is no migration. leftovers: what is
    to be removed. compared: the last comparison while filling. begun, changed, by: when, and by whom it was changed
    last. swapped: when `current` and `other` changed places last.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")  # a later release may add fields

    collection: str
    state: Literal["filling", "switched", "finished"]
    current: Stored
    other: Stored | None = None
    leftovers: Sequence[Leftover] = ()
    compared: Compared | None = None
    begun: AwareDatetime
    changed: AwareDatetime
    swapped: AwareDatetime | None = None
    by: str

    @property
    def stored(self) -> Sequence[Stored]:
        """Every collection that the store may have: first what is searched."""
        return (self.current, *filter(None, [self.other]), *self.leftovers)

    def of_identity(self, identity: str) -> str:
        """Return the name of the stored collection with embeddings of that identity; of the current one if none has."""
        return next((each.name for each in self.stored if each.identity == identity), self.current.name)


Change = Callable[[Facedb, Migration | None], Migration]
"""Returns the next record, from the facedb and the record so far. Raises Conflict."""


def read_migrations(redis: BlockingRedis) -> dict[str, Migration]:
    """Return every migration by the collection of its facedb. Raises redis.RedisError, and ValueError if one is
    damaged: without it other faces would be searched.
    """
    records = cast("dict[bytes, bytes]", redis.hgetall(MIGRATIONS))
    return {name.decode(): Migration.model_validate_json(record) for name, record in records.items()}


async def read_all_migrations(redis: Redis) -> Mapping[str, Migration]:
    """Return every migration by the collection of its facedb, without damaged ones. Raises redis.RedisError."""
    records = cast("dict[bytes, bytes]", await redis.hgetall(MIGRATIONS))
    return {found.collection: found for found in readable(Migration, records.values())}


class Migrations(Connected):
    """The part of Control for migrations. by: who changes something, as in the audit trail."""

    async def migration(self, tenant: str, facedb: str) -> Migration | None:
        """Return the migration of a facedb; None if it has none. Raises Unknown."""
        collection = (await read_facedb(self.redis, tenant, facedb)).collection
        return _parsed(cast("bytes | None", await self.redis.hget(MIGRATIONS, collection)))

    async def begin_migration(self, tenant: str, facedb: str, identity: str, target: str, by: str) -> Migration:
        """Begin to fill a new collection. identity: of the embeddings that are searched. target: of the new ones.
        Raises Unknown, and Conflict if a migration is under way.
        """

        def change(found: Facedb, migration: Migration | None) -> Migration:
            if migration is not None and migration.other is not None:
                raise Conflict(f"facedb {facedb} of tenant {tenant} is being migrated already")
            base = found.collection.rpartition(".")[0]
            return Migration(
                collection=found.collection,
                state="filling",
                current=Stored(name=found.collection, identity=identity) if migration is None else migration.current,
                other=Stored(name=f"{base}.{secrets.token_hex(4)}", identity=target),
                leftovers=() if migration is None else migration.leftovers,
                begun=now(),
                changed=now(),
                by=by,
            )

        return await self._change_migration(tenant, facedb, change)

    async def keep_comparison(self, tenant: str, facedb: str, compared: Compared, by: str) -> Migration:
        """Keep a comparison. Raises Unknown, and Conflict unless the facedb is being filled."""

        def change(_: Facedb, migration: Migration | None) -> Migration:
            found = _in_state(migration, "filling", tenant, facedb)
            return found.model_copy(update={"compared": compared, "changed": now(), "by": by})

        return await self._change_migration(tenant, facedb, change)

    async def switch_migration(self, tenant: str, facedb: str, by: str) -> Migration:
        """Search the new collection from now on. Raises Unknown, and Conflict unless the facedb is being filled."""
        return await self._swap(tenant, facedb, "filling", "switched", by)

    async def roll_migration_back(self, tenant: str, facedb: str, by: str) -> Migration:
        """Search the former collection again. Raises Unknown, and Conflict unless the facedb was switched."""
        return await self._swap(tenant, facedb, "switched", "filling", by)

    async def end_migration(
        self, tenant: str, facedb: str, state: Literal["filling", "switched"], by: str
    ) -> Migration:
        """Give up the collection that is not searched; a worker removes it once no job in flight can touch it. state:
        in which the migration must be. Raises Unknown, and Conflict if it is in another one.
        """
        due = await self.removable_from(self.redis)

        def change(_: Facedb, migration: Migration | None) -> Migration:
            found = _in_state(migration, state, tenant, facedb)
            left = [Leftover(**dict(each), due=due) for each in (found.other,) if each is not None]
            update = {"state": "finished", "other": None, "leftovers": (*found.leftovers, *left), "compared": None}
            return found.model_copy(update=update | {"changed": now(), "by": by})

        return await self._change_migration(tenant, facedb, change)

    async def _swap(
        self, tenant: str, facedb: str, before: Literal["filling", "switched"], after: str, by: str
    ) -> Migration:
        def change(_: Facedb, migration: Migration | None) -> Migration:
            found = _in_state(migration, before, tenant, facedb)
            update = {"state": after, "current": found.other, "other": found.current, "swapped": now()}
            return found.model_copy(update=update | {"changed": now(), "by": by})

        return await self._change_migration(tenant, facedb, change)

    async def _change_migration(self, tenant: str, name: str, change: Change) -> Migration:
        await self.tenant(tenant)

        async def put(pipe: Pipeline) -> Migration:
            facedb = await read_facedb(pipe, tenant, name)
            made = change(facedb, _parsed(cast("bytes | None", await pipe.hget(MIGRATIONS, facedb.collection))))
            begin(pipe)
            pipe.hset(MIGRATIONS, facedb.collection, made.model_dump_json())
            return made

        return cast("Migration", await self.atomically(put, facedb_key(tenant, name), MIGRATIONS))


def forget_leftover(redis: BlockingRedis, collection: str, name: str) -> None:
    """Forget a leftover that was removed from the store. Raises redis.RedisError."""

    def change(pipe: BlockingPipeline) -> None:
        found = _parsed(cast("bytes | None", pipe.hget(MIGRATIONS, collection)))
        pipe.multi()
        if found is not None:
            left = tuple(each for each in found.leftovers if each.name != name)
            text = found.model_copy(update={"leftovers": left}).model_dump_json()
            pipe.hset(MIGRATIONS, collection, text)

    redis.transaction(change, MIGRATIONS)


def forget_migration(redis: BlockingRedis, collection: str) -> None:
    """Forget the migration of a facedb whose collections were removed from the store. Raises redis.RedisError."""
    redis.hdel(MIGRATIONS, collection)


def _parsed(record: bytes | None) -> Migration | None:
    return None if record is None else Migration.model_validate_json(record)


def _in_state(migration: Migration | None, state: str, tenant: str, facedb: str) -> Migration:
    if migration is None or migration.state != state:
        found = (
            "no migration" if migration is None or migration.other is None else f"a migration that is {migration.state}"
        )
        raise Conflict(f"facedb {facedb} of tenant {tenant} has {found}; it must be {state}")
    return migration
