"""The deliveries of a tenant that were given up, for operators: listed, and tried again."""

from datetime import UTC, datetime
from typing import cast
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict

from shared.contract import Status
from shared.control import Control
from shared.jobs import Outcome
from shared.webhooks import DEAD_OF, REVIVE, delivery_key


class DeadWebhook(BaseModel):
    """A delivery that was given up. host: of its URL, of which the rest may be secret. status: of the outcome. why: the
    last attempt failed. attempts: how many did. created, died: since when it was tried, and when it was given up.
    """

    model_config = ConfigDict(frozen=True)

    job_id: str
    host: str
    status: Status
    why: str
    attempts: int
    created: datetime
    died: datetime


async def dead(control: Control, tenant: str) -> list[DeadWebhook]:
    """Return the dead deliveries of a tenant, the newest first. Raises Unknown."""
    ids = cast("list[bytes]", await control.redis.zrevrange(DEAD_OF + await control.tenant_id(tenant), 0, -1))
    async with control.redis.pipeline(transaction=False) as pipe:
        for job_id in ids:
            pipe.hgetall(delivery_key(job_id.decode()))
        records = cast("list[dict[bytes, bytes]]", await pipe.execute())
    return [_dead(job_id.decode(), record) for job_id, record in zip(ids, records, strict=True) if record]


async def revive(control: Control, tenant: str) -> int:
    """Have all dead deliveries of a tenant tried again, for as long as new ones. Return how many. Raises Unknown."""
    revived = await control.redis.register_script(REVIVE)(args=[await control.tenant_id(tenant)])
    return int(revived)


def _dead(job_id: str, record: dict[bytes, bytes]) -> DeadWebhook:
    fields = {name.decode(): value.decode() for name, value in record.items()}
    return DeadWebhook(
        job_id=job_id,
        host=urlsplit(fields["url"]).hostname or "",
        status=Outcome.model_validate_json(fields["outcome"]).status,
        why=fields["why"],
        attempts=int(fields["attempts"]),
        created=_time(fields["created"]),
        died=_time(fields["died"]),
    )


def _time(text: str) -> datetime:
    return datetime.fromtimestamp(int(float(text)), UTC)
