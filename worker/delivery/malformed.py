"""Tells jobs of a gateway from other messages, which worker/delivery/consumer.py drops, with one log line that contains
nothing of them.

Celery and kombu (5.7) trust their producers: truncated JSON, an envelope of another shape and most headers of another
type end the worker, and an unknown task is logged with its body, names included. So Celery is handed valid jobs only.
Messages that kombu cannot read are dropped by worker/delivery/channel.py.
"""

from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from shared.jobs import Job, JobId

_JOB_ID: Final = TypeAdapter(JobId)

Short = Annotated[str, Field(max_length=200)]

Time = Annotated[str, AfterValidator(datetime.fromisoformat)]


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
    expires: Time | None = None
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


@cache
def _bodies(job_type: type[Job]) -> TypeAdapter[tuple[list[None], Job, dict[str, None]]]:
    """Return what checks bodies: no positional arguments, the job as keywords, and no tasks to follow."""
    return TypeAdapter(tuple[Annotated[list[None], Field(max_length=0)], job_type, dict[str, None]])  # type: ignore[valid-type]


class Malformed(Exception):
    """A message that is no job. reason: "envelope", "task", "content type" or "body"."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def read_job(message: Any, tasks: Mapping[str, Any]) -> Job:
    """Return the job in a message of kombu's. Raises Malformed.

    tasks: those of the application, each with its job_type (see worker/tasks.py).
    """
    try:
        headers = _Headers.model_validate(message.headers)
        _Properties.model_validate(message.properties)
    except ValidationError:
        raise Malformed("envelope") from None
    job_type: type[Job] | None = getattr(tasks.get(headers.task), "job_type", None)
    if job_type is None:
        raise Malformed("task")
    if (message.content_type, message.content_encoding) != ("application/json", "utf-8"):
        raise Malformed("content type")
    try:
        _, job, _ = _bodies(job_type).validate_json(message.body)
    except (ValueError, TypeError):  # a ValidationError is a ValueError
        raise Malformed("body") from None
    return job


def id_of(message: Any) -> str | None:
    """Return the job id in the headers of a message of kombu's, None without a valid one."""
    try:
        return _JOB_ID.validate_python(message.headers["id"], strict=True)
    except (ValidationError, KeyError, TypeError):
        return None
