"""Auditing of the admin API: changes as they are made, and wrong keys every few seconds. Each event goes to the log, at
a level that is on by default, and to the audit trail (shared/audit.py).
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

import structlog
from redis import RedisError
from redis.asyncio import Redis

from gateway.admin.wrong_keys import WrongKeys
from shared.audit import WRONG_KEY, Event, keep

log = structlog.stdlib.get_logger(__name__)

WRONG_KEYS_EVERY_S: Final = 10.0
"""Seconds between the events about wrong keys, at most those of WrongKeys.take_counts each time."""

KEEP_S: Final = 2.0
"""Seconds after which an event that is not in the trail yet is left to the log: the change is made."""


async def audit(redis: Redis, *events: Event) -> None:
    """Log the events and add them to the audit trail. They are in the log even if the trail cannot be written."""
    for event in events:
        log.warning("audit", **event.fields())
    try:
        async with asyncio.timeout(KEEP_S):
            for event in events:
                await keep(redis, event)
    except (RedisError, OSError) as error:  # TimeoutError is one
        log.warning("audit_not_kept", error=type(error).__name__)


async def audit_wrong_keys(redis: Redis, wrong_keys: WrongKeys) -> None:
    """Audit the wrong keys that were tried since the last time."""
    tried = wrong_keys.take_counts().items()
    await audit(redis, *(Event(action=WRONG_KEY, by=f"admin API, {who}", attempts=count) for who, count in tried))


@asynccontextmanager
async def wrong_keys_audited(redis: Redis, wrong_keys: WrongKeys) -> AsyncIterator[None]:
    """Audit wrong keys every WRONG_KEYS_EVERY_S seconds during the block, and the rest at its end."""

    async def run() -> None:
        while True:
            await asyncio.sleep(WRONG_KEYS_EVERY_S)
            await audit_wrong_keys(redis, wrong_keys)

    task = asyncio.create_task(run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await audit_wrong_keys(redis, wrong_keys)
