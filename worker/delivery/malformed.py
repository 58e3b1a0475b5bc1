"""Drops messages that are no job of a gateway, with one log line that contains nothing of them.

Celery and kombu (5.7) trust their producers: truncated JSON, an envelope of another shape and most headers of another
type end the worker, and an unknown task is logged with its body, names included. So Celery is handed valid jobs only.
Messages that kombu cannot read are dropped by worker/delivery/channel.py.
"""

import json
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final

import structlog
from celery.exceptions import BackendError, InvalidTaskError
from celery.worker.consumer import Consumer
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from redis import RedisError

from shared.jobs import Job, JobId

log = structlog.stdlib.get_logger(__name__)

_JOB_ID: Final = TypeAdapter(JobId)

Short = Annotated[str, Field(max_length=200)]


class _Headers(BaseModel):
    """The headers that Celery reads. Gateways never send one that has it do more than the job, or do it later."""

    model_config = ConfigDict(extra="allow", strict=True)
    __pydantic_extra__: dict[str, bool | int | float | Short | None]

    task: Short
    id: JobId
    root_id: JobId | None = None
    parent_id: None = None
    shadow: None = None
    eta: None = None
    expires: Short | None = None
    group: None = None
    group_index: None = None
    retries: Annotated[int, Field(ge=0)] = 0
    timelimit: list[None] | None = None
    argsrepr: Short = ""
    kwargsrepr: Short = ""
    origin: Short = ""
    ignore_result: bool | None = None
    replaced_task_nesting: Annotated[int, Field(ge=0)] = 0
    stamped_headers: None = None
    stamps: Annotated[dict[str, None], Field(max_length=0)] = {}


class _Properties(BaseModel):
    model_config = ConfigDict(strict=True)

    correlation_id: Short
    delivery_tag: Short
    delivery_info: dict[str, Short | bool | None]
    reply_to: Short | None = None


_KEYWORDS: Final = TypeAdapter(tuple[list[None], dict[str, Any], dict[str, None]])
"""A body: no positional arguments, the job as keywords, and no tasks to follow."""


def find_flaw(message: Any, tasks: Mapping[str, Any]) -> str | None:
    """Return the flaw of a message of kombu's ("envelope", "task", "content type" or "body"), None for a job.

    tasks: those of the application, each with its job_type (see worker/tasks.py).
    """
    try:
        headers = _Headers.model_validate(message.headers)
        _Properties.model_validate(message.properties)
    except ValidationError:
        return "envelope"
    job: type[Job] | None = getattr(tasks.get(headers.task), "job_type", None)
    if job is None:
        return "task"
    if (message.content_type, message.content_encoding) != ("application/json", "utf-8"):
        return "content type"
    try:
        none, keywords, _ = _KEYWORDS.validate_python(json.loads(message.body))
        job.model_validate(keywords)
    except (ValueError, TypeError, RecursionError):  # a ValidationError is a ValueError
        return "body"
    return "body" if none else None


class JobConsumer(Consumer):  # type: ignore[misc]  # Celery has no types
    """Celery's consumer, which gets valid jobs only."""

    def create_task_handler(self, *arguments: Any, **options: Any) -> Callable[[Any], object]:
        take = super().create_task_handler(*arguments, **options)

        def on_task_received(message: Any) -> None:
            flaw = find_flaw(message, self.app.tasks)
            if flaw is None:
                take(message)
            else:
                self.drop(message, flaw)

        return on_task_received

    def drop(self, message: Any, reason: str) -> None:
        """Acknowledge a message and log it. If it has a job id, as one of a gateway of another release has,
        store a failure for the gateway that waits.
        """
        message.ack_log_error(log, self.connection_errors)
        job_id = _job_id(message)
        log.warning("message_dropped", reason=reason, job_id=job_id)
        if job_id is not None:
            try:
                self.app.backend.mark_as_failure(job_id, InvalidTaskError(reason))
            except (RedisError, BackendError) as error:
                log.error("outcome_not_stored", error=type(error).__name__)  # noqa: TRY400 -- a traceback would add nothing

    # Celery calls these where it notices a flaw itself; its own methods log the body.

    def on_unknown_message(self, _body: object, message: Any) -> None:
        self.drop(message, "envelope")

    def on_unknown_task(self, _body: object, message: Any, _exc: BaseException) -> None:
        self.drop(message, "task")

    def on_invalid_task(self, _body: object, message: Any, _exc: BaseException) -> None:
        self.drop(message, "envelope")

    def on_decode_error(self, message: Any, _exc: BaseException) -> None:
        self.drop(message, "body")


def _job_id(message: Any) -> str | None:
    try:
        return _JOB_ID.validate_python(message.headers["id"], strict=True)
    except (ValidationError, KeyError, TypeError):
        return None
