"""Celery messages for jobs, made but not sent, and the outcomes in Celery's results.

Celery sends through a blocking Redis client, which would need a thread: 0.45 ms of CPU a job and two thread switches.
So who dispatches a job pushes the message itself: gateway/dispatch/jobs.py over the shared connection. Celery and kombu
make the first message of each task, with a kombu transport that keeps it instead of sending. That takes 0.15 ms of CPU,
so it is the form of the messages after it, in each of which only the fields of its job are new: 0.02 ms.
"""

import json
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import pybase64
import structlog
from celery import Celery
from kombu.transport import virtual
from pydantic import ValidationError

from shared.broker import celery_config
from shared.contract import MESSAGES, Status
from shared.jobs import QUEUE, Job, Outcome
from shared.settings import Settings

log = structlog.stdlib.get_logger(__name__)

_PUT: Final = "put"

_FINAL_STATES: Final = frozenset({"SUCCESS", "FAILURE", "REVOKED"})
_EXPIRED: Final = "REVOKED"
"""Celery's state of a job that reached a worker after its deadline: the service is overloaded."""

FAILED: Final = Outcome(status=Status.FAIL, message=MESSAGES[Status.FAIL])
"""The outcome of a job that could not be done."""

_NO_TASKS: Final = json.dumps(dict.fromkeys(("callbacks", "errbacks", "chain", "chord")))


class _Channel(virtual.Channel):
    """A channel that passes each message to a callback instead of sending it."""

    def _put(self, queue: str, message: Mapping[str, Any], **_: Any) -> None:
        self.connection.client.transport_options[_PUT](queue, message)


class _Transport(virtual.Transport):
    Channel = _Channel


class Messages:
    """Makes messages for the workers' Celery. Not safe for threads."""

    def __init__(self, settings: Settings) -> None:
        self._made: list[Mapping[str, Any]] = []
        self._forms: dict[str, Mapping[str, Any]] = {}
        # Without a result backend: with one, Celery would subscribe to every task on a connection that is never read.
        self._app = Celery("facesearch.gateway", backend="disabled://", set_as_current=False)
        self._app.conf.update(
            celery_config(settings),
            broker_url="kept://localhost",
            broker_transport=_Transport,
            broker_transport_options={_PUT: self._keep},
        )

    def make(self, job: Job, headers: Mapping[str, Any]) -> str:
        """Make the message of a job, to be pushed to QUEUE. headers: of the message, plain values."""
        form = self._forms.get(job.task) or self._form(job)
        about = {
            "id": job.job_id,
            "root_id": job.job_id,
            "expires": datetime.fromtimestamp(job.deadline, UTC).isoformat(),
        }
        delivery = {
            "correlation_id": job.job_id,
            "expiration": str(int((job.deadline - time.time()) * 1000)),
            "delivery_tag": str(uuid.uuid4()),
        }
        message = {
            **form,
            "body": pybase64.b64encode(_body(job)).decode(),
            "headers": form["headers"] | about | headers,
            "properties": form["properties"] | delivery,
        }
        return json.dumps(message)

    def close(self) -> None:
        self._app.close()

    def _form(self, job: Job) -> Mapping[str, Any]:
        """Return a message of Celery's for the job's task, and keep it as the form of the task's messages."""
        self._app.send_task(
            job.task,
            task_id=job.job_id,
            queue=QUEUE,
            expires=datetime.fromtimestamp(job.deadline, UTC),
            # Else Celery writes the arguments, names of people included, to headers and logs.
            argsrepr="",
            kwargsrepr="",
            retry=False,
        )
        form = self._forms[job.task] = self._made.pop()
        return form

    def _keep(self, queue: str, message: Mapping[str, Any]) -> None:
        if queue != QUEUE:
            raise ValueError(f"a message for {queue}")
        self._made.append(message)


def _body(job: Job) -> bytes:
    """Return the body of a job's message: no positional arguments, the job as keywords, no tasks to follow."""
    return f"[[], {job.model_dump_json()}, {_NO_TASKS}]".encode()


def delivery_tag(message: str) -> str:
    """Return the id by which kombu knows a message, the same in every delivery."""
    return str(json.loads(message)["properties"]["delivery_tag"])


def outcome_in(data: bytes | str) -> Outcome | None:
    """Return the outcome in a stored Celery result, None while it is not final, FAIL if it is malformed."""
    result = json.loads(data)
    if result["status"] not in _FINAL_STATES:
        return None
    if result["status"] == _EXPIRED:
        log.warning("job_expired", job_id=result.get("task_id"))
        return FAILED
    try:
        return Outcome.model_validate(result["result"])
    except ValidationError:
        log.error("job_failed", job_id=result.get("task_id"), state=result["status"])  # noqa: TRY400 -- no traceback is meant
        return FAILED
