"""Requests with an Idempotency-Key: the first outcome is given again, and what had none is done with the effect of one.

shared/once.py has the header and the record. FAIL is never given again: a repetition tries anew, in the first's name.
"""

import re
from typing import Final

from redis import RedisError

from gateway.jobs import Wanted
from gateway.line import Line, Script
from shared.errors import InvalidRequest, Unavailable
from shared.jobs import Once, Outcome
from shared.once import ANSWERED, ASKED, HEADER, KEY, ORIGIN, OUTCOME, record

# KEYS: record. ARGV: what is asked, the request's id, seconds to keep the record. Answers what the record then says.
_BEGIN: Final = Script(f"""
if redis.call('HSETNX', KEYS[1], '{ASKED}', ARGV[1]) == 1 then
  redis.call('HSET', KEYS[1], '{ORIGIN}', ARGV[2])
  redis.call('EXPIRE', KEYS[1], ARGV[3])
end
return redis.call('HMGET', KEYS[1], '{ASKED}', '{ORIGIN}', '{OUTCOME}')
""")


# KEYS: record. ARGV: the request's id. Whether it is the first; of a record that is gone, nobody can be another.
_ANSWER: Final = Script(f"""
if redis.call('EXISTS', KEYS[1]) == 0 then return 1 end
return redis.call('HSETNX', KEYS[1], '{ANSWERED}', ARGV[1])
""")


class Repeats:
    """keep_s: seconds for which an outcome is given again, whole, >= 1."""

    def __init__(self, redis: Line, keep_s: int) -> None:
        self._redis = redis
        self._keep_s = keep_s

    async def begin(self, tenant_id: str, key: str, wanted: Wanted, request_id: str) -> Once | Outcome:
        """How to do what is wanted under that Idempotency-Key of the tenant, or how it ended before.

        Raises InvalidRequest when something else was asked for under the key, Unavailable when Redis cannot be asked.
        """
        where = record(tenant_id, key)
        try:
            asked, origin, outcome = await self._redis.run(_BEGIN, [where], [wanted.digest(), request_id, self._keep_s])
        except (RedisError, OSError) as error:
            raise Unavailable(f"idempotency: {type(error).__name__}") from error
        if asked.decode() != wanted.digest():
            raise InvalidRequest(f"{HEADER} was used before, for a request with other parameters; take a new one")
        if outcome is not None:
            return Outcome.model_validate_json(outcome)
        return Once(record=where, origin=origin.decode(), keep_s=self._keep_s)

    async def is_first(self, once: Once, request_id: str) -> bool:
        """Whether no other request was answered with the outcome yet: of several at once one is charged. True where
        Redis cannot be asked.
        """
        try:
            return bool(await self._redis.run(_ANSWER, [once.record], [request_id]))
        except (RedisError, OSError):
            return True


def checked(values: list[str]) -> str | None:
    """The Idempotency-Key of a request by what its headers of that name say. Raises InvalidRequest."""
    if not values:
        return None
    if len(values) > 1 or not re.fullmatch(KEY, values[0]):
        raise InvalidRequest(f"{HEADER} must be 1 to 255 visible ASCII characters without spaces, and given once")
    return values[0]
