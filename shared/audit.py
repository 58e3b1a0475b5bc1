"""The audit trail: changes of tenants, keys, face databases and persons, and attempts with a wrong admin key.

    fs:audit            Redis stream of changes, the newest KEPT
    fs:audit:refused    Redis stream of wrong admin keys, the newest REFUSALS_KEPT: apart, so that attempts cannot push
                        changes out

The admin API and the commands write it, and log each event as well. An event holds ids and names of tenants, keys and
facedbs, but no secret and no data of a face.
"""

from datetime import UTC, datetime
from typing import Any, Final, cast

from pydantic import AwareDatetime, BaseModel, ConfigDict
from redis import Redis
from redis import asyncio as aioredis

CHANGES: Final = "fs:audit"
REFUSED: Final = "fs:audit:refused"

KEPT: Final = 10_000
"""Changes that are kept, of 200 bytes each: years of manual changes."""

REFUSALS_KEPT: Final = 1000

WRONG_KEY: Final = "admin-key.wrong"


class Event(BaseModel):
    """A change or a refusal. action: such as `key.create`. by: the address of a caller, or the user of a command.
    tenant, key, facedb: the subject; key is an id. attempts: number of attempts since the previous event. days: of a
    retention. persons: how many persons an erasure deleted.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")  # a later release may add fields

    action: str
    by: str
    tenant: str | None = None
    key: str | None = None
    facedb: str | None = None
    attempts: int | None = None
    days: int | None = None
    persons: int | None = None

    def fields(self) -> dict[str, Any]:
        """Return the fields that are not None, for a log or Redis."""
        return self.model_dump(exclude_none=True)


class Kept(Event):
    """A stored event. at: the time by the clock of Redis."""

    at: AwareDatetime


async def keep(redis: aioredis.Redis, event: Event) -> None:
    """Store an event. Raises RedisError."""
    name, fields, length = _entry(event)
    await redis.xadd(name, fields, maxlen=length, approximate=True)


def keep_blocking(redis: Redis, event: Event) -> None:
    """Store an event, with a blocking client. Raises RedisError."""
    name, fields, length = _entry(event)
    redis.xadd(name, fields, maxlen=length, approximate=True)


async def last(redis: aioredis.Redis, count: int) -> list[Kept]:
    """Return the newest `count` events of both streams, oldest first. Raises RedisError."""
    found = []
    for name in (CHANGES, REFUSED):
        for entry_id, fields in cast(
            "list[tuple[bytes, dict[bytes, bytes]]]", await redis.xrevrange(name, count=count)
        ):
            values = {field.decode(): value.decode() for field, value in fields.items()}
            at = datetime.fromtimestamp(int(entry_id.partition(b"-")[0]) / 1000, UTC)
            found.append((_order(entry_id), Kept.model_validate({**values, "at": at})))
    return [event for _, event in sorted(found, key=lambda pair: pair[0])][-count:]


def _entry(event: Event) -> tuple[str, dict[Any, Any], int]:
    """Return the stream of an event, the fields to store, and the number of entries that are kept."""
    name, length = (REFUSED, REFUSALS_KEPT) if event.action == WRONG_KEY else (CHANGES, KEPT)
    return name, event.fields(), length


def _order(entry_id: bytes) -> tuple[int, int]:
    milliseconds, _, number = entry_id.partition(b"-")
    return int(milliseconds), int(number)
