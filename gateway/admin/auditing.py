"""What the admin API tells of itself: changes as they are made, and wrong keys every few seconds. Each goes to the log,
at a level that is on by default, and to the audit trail (shared/audit.py).
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

TELL_EVERY_S: Final = 10.0
"""However many wrong keys are tried, they are so many lines: those of WrongKeys.untold."""

KEEP_S: Final = 2.0
"""After so long without an answer nobody waits for the trail any more: what is logged is done."""


async def audit(redis: Redis, *events: Event) -> None:
    """Whether or not the trail can be written, they are in the log."""
    for event in events:
        log.warning("audit", **event.fields())
    try:
        async with asyncio.timeout(KEEP_S):
            for event in events:
                await keep(redis, event)
    except (RedisError, OSError) as error:  # TimeoutError is one
        log.warning("audit_not_kept", error=type(error).__name__)


async def tell(redis: Redis, wrong_keys: WrongKeys) -> None:
    """Of the wrong keys that were tried since."""
    tried = wrong_keys.untold().items()
    await audit(redis, *(Event(action=WRONG_KEY, by=f"admin API, {who}", attempts=count) for who, count in tried))


@asynccontextmanager
async def telling(redis: Redis, wrong_keys: WrongKeys) -> AsyncIterator[None]:
    """Tells every TELL_EVERY_S inside, and the rest at the end."""

    async def go_on() -> None:
        while True:
            await asyncio.sleep(TELL_EVERY_S)
            await tell(redis, wrong_keys)

    task = asyncio.create_task(go_on())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await tell(redis, wrong_keys)
