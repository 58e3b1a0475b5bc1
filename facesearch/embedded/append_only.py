"""The append-only file of a Redis: every command since it was rewritten last, deleted values included."""

import time
from typing import Any, Final

from redis import Redis, ResponseError

from shared.errors import OperatorError

POLL_S: Final = 0.1

LONGEST_S: Final = 600.0
"""How long one rewrite may take: a million faces leave a broker of some tens of megabytes, which take a second."""


def rewrite(redis: Redis) -> bool:
    """Have it rewritten from what is kept now, and wait for that. Returns False when there is none. Raises RedisError,
    and OperatorError when it cannot be done.
    """
    if not _state(redis)["aof_enabled"]:
        return False
    ends = time.monotonic() + LONGEST_S
    while True:
        _await_end(redis, ends)  # one that began before has what was deleted since
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
