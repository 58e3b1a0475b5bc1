"""Requests with an Idempotency-Key: the first outcome is given again, and what had none is done with the effect of one.

shared/idempotency.py has the header and the record. FAIL is never given again: a repetition tries anew, in the first's
name.
"""

import asyncio
import re
from typing import Final

from redis import RedisError

from gateway.dispatch.jobs import JobRequest
from gateway.dispatch.record_quota import RecordQuota
from gateway.redis_connection import Script, SharedConnection
from shared import lua
from shared.errors import InvalidRequest, Unavailable
from shared.idempotency import ANSWERED, ASKED, HEADER, KEY, ORIGIN, OUTCOME, digest, order, record, records
from shared.jobs import Once, Outcome

ASK_S: Final = 0.3
"""How long an outcome that is there waits to learn whether it is charged: a thousand times as long as that takes."""

FORGOTTEN: Final = 32
"""So many records are forgotten with one request at most: it takes the broker half a millisecond, and makes room for
more than it takes."""

_BEGIN: Final = Script(
    lua.load(__package__, "idempotency_begin", ASKED=ASKED, ORIGIN=ORIGIN, OUTCOME=OUTCOME, FORGOTTEN=FORGOTTEN)
)
_ANSWER: Final = Script(lua.load(__package__, "idempotency_answer", ANSWERED=ANSWERED))


class IdempotencyRecords:
    """keep_s: seconds for which an outcome is given again, whole, >= 1. quota: how many records a tenant
    may have now; beyond it the oldest are removed.
    """

    def __init__(self, redis: SharedConnection, keep_s: int, quota: RecordQuota) -> None:
        self._redis = redis
        self._keep_s = keep_s
        self._quota = quota

    async def begin(self, tenant_id: str, key: str, job_request: JobRequest, request_id: str) -> Once | Outcome:
        """How to do what is wanted under that Idempotency-Key of the tenant, or how it ended before.

        Raises InvalidRequest when something else was asked for under the key, Unavailable when Redis cannot be asked.
        """
        where = record(tenant_id, key)
        try:
            asked, origin, outcome = await self._redis.run(
                _BEGIN,
                [where, order(where)],
                [
                    job_request.digest(),
                    request_id,
                    self._keep_s,
                    digest(where),
                    records(tenant_id),
                    self._quota.records,
                ],
            )
        except (RedisError, OSError) as error:
            raise Unavailable(f"idempotency: {type(error).__name__}") from error
        if asked.decode() != job_request.digest():
            raise InvalidRequest(f"{HEADER} was used before, for a request with other parameters; take a new one")
        if outcome is not None:
            return Outcome.model_validate_json(outcome)
        return Once(record=where, origin=origin.decode(), keep_s=self._keep_s)

    async def is_first(self, once: Once) -> bool:
        """Whether no other request was answered with the outcome yet: of several at once one is charged. True where
        Redis cannot be asked, or does not answer within ASK_S.
        """
        try:
            async with asyncio.timeout(ASK_S):
                return bool(await self._redis.run(_ANSWER, [once.record], []))
        except (RedisError, OSError):  # TimeoutError is an OSError
            return True


def checked(values: list[str]) -> str | None:
    """The Idempotency-Key of a request by what its headers of that name say. Raises InvalidRequest."""
    if not values:
        return None
    if len(values) > 1 or not re.fullmatch(KEY, values[0]):
        raise InvalidRequest(f"{HEADER} must be 1 to 255 visible ASCII characters without spaces, and given once")
    return values[0]
