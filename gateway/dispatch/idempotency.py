"""Requests with an Idempotency-Key: repetitions get the outcome of the first request, or are done with the effect of
one.

shared/idempotency.py has the header and the record. FAIL is never repeated: a repetition tries again, under the id of
the first request.
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

CHARGE_CHECK_S: Final = 0.3
"""Seconds that an outcome waits at most to learn whether it is charged: a thousand times as long as that takes."""

FORGOTTEN: Final = 32
"""Most records that are removed with one request: half a millisecond of the broker, and more room than the request
takes."""

_BEGIN: Final = Script(
    lua.load(__package__, "idempotency_begin", ASKED=ASKED, ORIGIN=ORIGIN, OUTCOME=OUTCOME, FORGOTTEN=FORGOTTEN)
)
_ANSWER: Final = Script(lua.load(__package__, "idempotency_answer", ANSWERED=ANSWERED))


class IdempotencyRecords:
    """Records of the requests with an Idempotency-Key. keep_s: seconds for which an outcome is repeated, whole, >= 1.
    quota: how many records a tenant may have now; beyond it the oldest are removed.
    """

    def __init__(self, redis: SharedConnection, keep_s: int, quota: RecordQuota) -> None:
        self._redis = redis
        self._keep_s = keep_s
        self._quota = quota

    async def begin(self, tenant_id: str, key: str, job_request: JobRequest, request_id: str) -> Once | Outcome:
        """Return how to do a request under that Idempotency-Key of the tenant, or its outcome if it was done before.

        Raises InvalidRequest if the key was used for another request, Unavailable when Redis cannot be reached.
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
        """Return whether no other request was answered with this outcome yet: of several at once one is charged. True
        if Redis does not answer within CHARGE_CHECK_S.
        """
        try:
            async with asyncio.timeout(CHARGE_CHECK_S):
                return bool(await self._redis.run(_ANSWER, [once.record], []))
        except (RedisError, OSError):  # TimeoutError is an OSError
            return True


def parse_header(values: list[str]) -> str | None:
    """Return the Idempotency-Key of a request, None if it has none. values: of all its headers of that name. Raises
    InvalidRequest.
    """
    if not values:
        return None
    if len(values) > 1 or not re.fullmatch(KEY, values[0]):
        raise InvalidRequest(f"{HEADER} must be 1 to 255 visible ASCII characters without spaces, and given once")
    return values[0]
