"""The append-only file of a Redis, which holds every command since its last rewrite, deleted values included."""

import time
from typing import Any, Final

from redis import Redis, ResponseError

from shared.errors import OperatorError

POLL_S: Final = 0.1

LONGEST_S: Final = 600.0
"""Time limit of one rewrite. The broker of a service with a million faces holds some tens of megabytes, which take a
second."""


def rewrite(redis: Redis) -> bool:
    """Have the file rewritten from the present values, and wait for the end. Returns False if there is no such file.
    Raises RedisError, and OperatorError if the file cannot be rewritten.
    """
    if not _state(redis)["aof_enabled"]:
        return False
    ends = time.monotonic() + LONGEST_S
    while True:
        _await_end(redis, ends)  # a rewrite that began earlier may hold deleted values
        try:
            redis.bgrewriteaof()
            break
        except ResponseError as error:
            if "in progress" not in str(error):
                raise OperatorError(
                    f"the broker refuses BGREWRITEAOF ({error}): deleted names stay in its append-only file until it "
                    "rewrites that by itself; run the command there"
                ) from None
    _await_end(redis, ends)
    if _state(redis)["aof_last_bgrewrite_status"] != "ok":
        raise OperatorError("the broker could not rewrite its append-only file; see its log, and erase again")
    return True


def _state(redis: Redis) -> dict[str, Any]:
    return redis.info("persistence")


def _await_end(redis: Redis, ends: float) -> None:
    while True:
        state = _state(redis)
        if not state["aof_rewrite_in_progress"] and not state["aof_rewrite_scheduled"]:
            return
        if time.monotonic() > ends:
            raise OperatorError("the broker does not come to the end of rewriting its append-only file; see its log")
        time.sleep(POLL_S)
