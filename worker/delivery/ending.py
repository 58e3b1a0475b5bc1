"""Ends jobs: one script stores and publishes the outcome, acknowledges the message and lets the next job in.

Celery and kombu (5.7) would do the same with a read and three transactions, each a way to the broker and back. Where
the script fails, as on a full broker, that is how the job is ended.

An asynchronous job (shared/asynchronous/) ends in the same script. Where it fails, a gateway finds what Celery stored.
One that has to wait for another job is put back instead, so that it occupies no thread meanwhile.
"""

import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final

import structlog
from pydantic_core import to_json
from redis import RedisError

from shared import asynchronous, lua
from shared.broker import RESULT_PREFIX, UNACKED, UNACKED_INDEX
from shared.fair_queue import DONE, TENANT
from shared.jobs import Job, Outcome
from worker.thread_connections import ThreadConnections

log = structlog.stdlib.get_logger(__name__)

_BEFORE: Final = lua.load(__package__, "end_job", UNACKED=UNACKED, UNACKED_INDEX=UNACKED_INDEX)
_END: Final = f"{_BEFORE}\n{DONE}"
_END_ASYNCHRONOUS: Final = f"{_END}\n{asynchronous.FINISHING}"
_PUT_BACK: Final = f"{DONE}\n{asynchronous.PUT_BACK}"


class Ending:
    """How a job ends. outcome: to be set by the code that does the job. is_put_back: set where an asynchronous job is
    to be done later; if it cannot be put back, the outcome counts. complete: whether the outcome is stored, or the job
    put back, and the message acknowledged; otherwise both are left to Celery.
    """

    outcome: Outcome | None = None
    is_put_back: bool = False
    complete: bool = False


class Endings:
    """keep_s: seconds for which an outcome is stored, whole, >= 1. acknowledged: gets the delivery tags of the messages
    that are acknowledged here, for worker/delivery/channel.py.
    """

    def __init__(self, broker: ThreadConnections, keep_s: int, acknowledged: set[str]) -> None:
        self._end = broker.script(_END)
        self._end_asynchronous = broker.script(_END_ASYNCHRONOUS)
        self._put_back = broker.script(_PUT_BACK)
        self._done = broker.script(DONE)
        self._keep_s = keep_s
        self._acknowledged = acknowledged

    @contextmanager
    def job(self, job: Job, headers: Mapping[str, Any], tag: str | None) -> Iterator[Ending]:
        """Run the block as that job, then end it. headers, tag: those of the job's message; tag: its delivery tag."""
        ending, start = Ending(), time.monotonic()
        try:
            yield ending
        finally:
            tenant = headers.get(TENANT)
            if isinstance(tenant, str):  # gateways of releases without a fair queue send none
                turn = (tenant, job.job_id, time.monotonic() - start)
                if tag and ending.outcome:
                    ending.complete = self._ended(
                        turn,
                        tag,
                        ending.outcome,
                        is_asynchronous=asynchronous.IMAGES in headers,
                        is_put_back=ending.is_put_back,
                    )
                if not ending.complete:
                    self._report(turn)

    def _ended(
        self, turn: tuple[str, str, float], tag: str, outcome: Outcome, *, is_asynchronous: bool, is_put_back: bool
    ) -> bool:
        """Return whether a script ended the job, or put it back."""
        _, job_id, _ = turn
        ending = [*turn, tag, stored(job_id, outcome), self._keep_s]
        try:
            if is_put_back:
                self._put_back([], [*turn, tag, str(uuid.uuid4())])
            elif is_asynchronous:
                self._end_asynchronous([RESULT_PREFIX + job_id], [*ending, *asynchronous.ending(outcome)])
            else:
                self._end([RESULT_PREFIX + job_id], ending)
        except RedisError as error:
            log.debug("job_not_ended_at_once", job_id=job_id, error=type(error).__name__)
            return False
        self._acknowledged.add(tag)
        return True

    def _report(self, turn: tuple[str, str, float]) -> None:
        """Report the job as done to the fair queue, so that the next one is released."""
        try:
            self._done([], turn)
        except RedisError as error:
            # It counts as running until its deadline is over.
            log.warning("turn_not_ended", job_id=turn[1], error=type(error).__name__)


def stored(job_id: str, outcome: Outcome) -> bytes:
    """Return an outcome as Celery stores the result of a task that succeeded, in JSON."""
    return to_json(
        {
            "status": "SUCCESS",
            "result": outcome,
            "traceback": None,
            "children": [],
            "date_done": datetime.now(UTC).isoformat(),
            "task_id": job_id,
        }
    )
