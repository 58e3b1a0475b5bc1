"""The audit trail: who changed tenants, keys and face databases, and who tried wrong admin keys. It is in Redis, where
the admin API and the commands reach it:

    fs:audit            stream of changes, the newest KEPT
    fs:audit:refused    stream of wrong admin keys, the newest REFUSALS_KEPT: apart, so that whoever tries keys cannot
                        push the changes out

Both log each event, too. An event holds ids and names of tenants, keys and facedbs; no key and nothing of a face.
"""

from datetime import UTC, datetime
from typing import Any, Final, cast

from pydantic import AwareDatetime, BaseModel, ConfigDict
from redis import Redis
from redis import asyncio as aioredis

CHANGES: Final = "fs:audit"
REFUSED: Final = "fs:audit:refused"

KEPT: Final = 10_000
"""Changes that are kept: 200 bytes each, and years of them where operators are people."""

REFUSALS_KEPT: Final = 1000

WRONG_KEY: Final = "admin-key.wrong"


class Event(BaseModel):
    """action: as `key.create`. by: who, as far as can be told: an address, or the user of a command. tenant, key,
    facedb: what it was done to; key is an id. attempts: how often it was tried since that was told last.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")  # one of a later release may say more

    action: str
    by: str
    tenant: str | None = None
    key: str | None = None
    facedb: str | None = None
    attempts: int | None = None

    def fields(self) -> dict[str, Any]:
        """What is to be said of it, in a log or in Redis."""
        return self.model_dump(exclude_none=True)


class Kept(Event):
    """An event as it is kept. at: by the clock of Redis."""

    at: AwareDatetime


async def keep(redis: aioredis.Redis, event: Event) -> None:
    """Raises RedisError."""
    name, fields, length = _entry(event)
    await redis.xadd(name, fields, maxlen=length, approximate=True)


def keep_blocking(redis: Redis, event: Event) -> None:
    """The same. Raises RedisError."""
    name, fields, length = _entry(event)
    redis.xadd(name, fields, maxlen=length, approximate=True)


async def last(redis: aioredis.Redis, count: int) -> list[Kept]:
    """The newest events of both kinds, oldest first. Raises RedisError."""
    found = []
    for name in (CHANGES, REFUSED):
        for place, fields in cast("list[tuple[bytes, dict[bytes, bytes]]]", await redis.xrevrange(name, count=count)):
            said = {field.decode(): value.decode() for field, value in fields.items()}
            at = datetime.fromtimestamp(int(place.partition(b"-")[0]) / 1000, UTC)
            found.append((_order(place), Kept.model_validate({**said, "at": at})))
    return [event for _, event in sorted(found, key=lambda one: one[0])][-count:]


def _entry(event: Event) -> tuple[str, dict[Any, Any], int]:
    """The stream, what goes there, and how many of the newest stay."""
    name, length = (REFUSED, REFUSALS_KEPT) if event.action == WRONG_KEY else (CHANGES, KEPT)
    return name, event.fields(), length


def _order(place: bytes) -> tuple[int, int]:
    milliseconds, _, number = place.partition(b"-")
    return int(milliseconds), int(number)
