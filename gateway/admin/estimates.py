"""Asking a worker how often strangers of a facedb reach a confidence; shared/worker_request.py has the protocol."""

import asyncio
from typing import Any, Final, cast

from redis.asyncio import Redis

from shared.confidence import REQUEST, Estimate, Progress, Request
from shared.control import Conflict
from shared.errors import OperatorError, Unavailable
from shared.worker_request import LEASE_S, RENEW, RENEW_EVERY_S, new_id, progress_key

LONGEST_S: Final = 60.0
"""Seconds after which nobody waits any more: an estimate beside full load takes half of that."""

BEGUN_S: Final = 5.0
"""Seconds within which a worker takes a request, if there is one: each looks every second."""

POLL_S: Final = 0.2


async def estimate(redis: Redis, collection: str, longest_s: float = LONGEST_S, begun_s: float = BEGUN_S) -> Estimate:
    """Return the estimate for a facedb. longest_s, begun_s: for tests.

    Raises Conflict while there is another request, OperatorError if nothing can be said of these faces, Unavailable
    when no worker takes the request or none is done in time, and RedisError.
    """
    request = Request(id=new_id(), collection=collection)
    text = request.model_dump_json()
    if not await redis.set(REQUEST, text, nx=True, ex=LEASE_S):
        raise Conflict("another estimate of this service is being made; wait for its end and try again")
    try:
        async with asyncio.timeout(longest_s):
            return await _wait(redis, text, progress_key(REQUEST, request.id), begun_s)
    except TimeoutError:
        raise Unavailable(f"no estimate within {longest_s:g} s") from None
    finally:
        await cast("Any", redis.eval(RENEW, 1, REQUEST, text, "0"))


async def _wait(redis: Redis, text: str, key: str, begun_s: float) -> Estimate:
    """Return the estimate, and renew the request meanwhile."""
    clock = asyncio.get_running_loop().time
    asked = renewed = clock()
    while True:
        found = await redis.get(key)
        if found is None:
            if clock() - asked > begun_s:
                raise Unavailable("no worker takes the estimate up")
        else:
            progress = Progress.model_validate_json(found)
            if progress.state == "failed":
                raise OperatorError(f"there is no estimate: {progress.reason}")
            if progress.estimate is not None:
                return progress.estimate
        if clock() - renewed > RENEW_EVERY_S:
            renewed = clock()
            await cast("Any", redis.eval(RENEW, 1, REQUEST, text, str(LEASE_S)))
        await asyncio.sleep(POLL_S)
