"""Asynchronous jobs: those of requests with `Prefer: respond-async`, which nobody waits for.

    fs:async:job:<job id>       hash, see below; gone KEEP_S after the job ended
    fs:async:jobs               sorted set of those that have not ended: "<tenant> <job id>", by deadline
    fs:async:line:<tenant>      list of the ids of the waiting ones, the first at the right
    fs:async:out                sorted set of those in the fair queue or with a worker: "<tenant> <job id>", by the time
                                at which each was looked at last
    fs:async:running            hash: how many of these a tenant has
    fs:async:counts             hash: how many a tenant has that have not ended
    fs:async:bytes              hash: bytes of their images by tenant, and of all under EVERYBODY
    fs:async:watched            expires when a gateway looks after them next

A job has the fields tenant (its id), call, usage (what its counters of usage begin with), bytes (of its images), and
record (key of the idempotency record, if any). Until it ends it has item and tag (entry of the fair queue, delivery
tag) and, if its outcome is to be delivered, webhook and form (URL, form of confidences); from its end on outcome
(JSON), status and ended (Unix time).

A tenant has as many asynchronous jobs in the fair queue (shared/fair_queue/) at once as the workers have threads; the
others wait in a line of their own. So its other requests wait for about one job of these, however many there are, and
other tenants have their shares as ever.

Who ends a job keeps its outcome, counts it, makes its delivery (shared/webhooks/) and lets the next one in, in one
script: the worker that did it; or a gateway, when its deadline is over or Celery ended it, as it does with a job that
it expires or that a worker of an earlier release did. Gateways also send a job again that no worker has. A job that has
to wait for another one is put back by its worker, and done later. Only the scripts here write these keys.
"""

from datetime import UTC, datetime
from typing import Final

from shared import fair_queue, lua, webhooks
from shared.broker import RESULT_PREFIX, UNACKED, UNACKED_INDEX
from shared.contract import Status
from shared.idempotency import ANSWERED, JOB
from shared.jobs import Outcome
from shared.usage import DAYS, day_key

DEADLINE_S: Final = 900
"""Seconds after which a job that nobody did ends as FAIL."""

KEEP_S: Final = 3600
"""Seconds for which the outcome of a job is kept."""

IMAGES: Final = "async_images"
"""Header of the message of an asynchronous job, and of no other: how many images it has."""

MOST_IMAGES: Final = 8
"""More images than any job has."""

SHARE: Final = 3
"""Bytes of images that a tenant may hold for each free byte, as with the places of a gateway: alone it gets three
quarters of all, two such tenants three sevenths each."""

PREFIX: Final = "fs:async:job:"
ALL: Final = "fs:async:jobs"
COUNTS: Final = "fs:async:counts"
HELD_BYTES: Final = "fs:async:bytes"

EVERYBODY: Final = "*"
"""The field of all tenants together; no id of a tenant contains it."""

FULL: Final = ""
"""The answer of SUBMIT to a tenant that may have no more jobs."""


def _own(*names: str, **constants: str | float) -> str:
    own = lua.load(
        __name__,
        "common",
        *names,
        KEEP_S=KEEP_S,
        PREFIX=PREFIX,
        ALL=ALL,
        OUT="fs:async:out",
        LINES="fs:async:line:",
        RUNNING="fs:async:running",
        COUNTS=COUNTS,
        HELD_BYTES=HELD_BYTES,
        EVERYBODY=EVERYBODY,
        ANSWERED=ANSWERED,
        DAYS=DAYS,
        DAY_PREFIX=day_key(""),
        FAIL=Status.FAIL,
        **constants,
    )
    return f"{webhooks.COMMON}\n{own}"


def _script(name: str, **constants: str | float) -> str:
    return f"{fair_queue.COMMON}\n{_own(name, **constants)}"


SUBMIT: Final = _script("submit_async", SHARE=SHARE, FULL=FULL, JOB=JOB)
FINISH: Final = _script("finish_async")
WATCH: Final = _script(
    "watch_async", WATCHED="fs:async:watched", UNACKED=UNACKED, UNACKED_INDEX=UNACKED_INDEX, RESULT_PREFIX=RESULT_PREFIX
)
FINISHING: Final = _own("finishing")
"""What stands after worker/delivery/end_job.lua and done.lua of the fair queue, so that they end an asynchronous
job."""
PUT_BACK: Final = _own("put_back", UNACKED=UNACKED, UNACKED_INDEX=UNACKED_INDEX)
"""What stands after done.lua of the fair queue, so that it puts an asynchronous job back."""


def ending(outcome: Outcome) -> tuple[str, str, str]:
    """Return the arguments by which scripts end a job: its outcome, the status of that, and today (UTC)."""
    return outcome.model_dump_json(), outcome.status, datetime.now(UTC).date().isoformat()


def key_of(job_id: str) -> str:
    """Return the key of a job."""
    return PREFIX + job_id
