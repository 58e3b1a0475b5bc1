"""A stand-in for a worker that makes estimates for gateways (shared/confidence.py)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from redis.asyncio import Redis

from shared.confidence import REQUEST, Estimate, Level, Progress, Request
from shared.worker_request import progress_key

DONE = Progress(
    state="done",
    faces=900,
    estimate=Estimate(
        identity="ours",
        stored=900,
        faces=900,
        repeated=3,
        pairs=404_547,
        levels=(
            Level(
                confidence=80,
                meant=1e-3,
                cosine=0.37,
                rate=5e-3,
                low=4e-3,
                high=6e-3,
                counted=True,
                told=True,
                own=0.41,
                error=0.01,
                ask=88.5,
            ),
        ),
        points=((-1, 0), (0.41, 80), (0.9999, 100)),
    ),
)


@asynccontextmanager
async def worker(redis: Redis, progress: Progress) -> AsyncIterator[None]:
    """Answer every request for an estimate with this progress."""
    ended = False

    async def answer() -> None:
        while not ended:
            text = await redis.get(REQUEST)
            if text is not None and text != b"another":
                request = Request.model_validate_json(text)
                await redis.set(progress_key(REQUEST, request.id), progress.model_dump_json())
            await asyncio.sleep(0.01)

    task = asyncio.create_task(answer())
    try:
        yield
    finally:  # not by cancelling: what the client does then may be lost
        ended = True
        await task
