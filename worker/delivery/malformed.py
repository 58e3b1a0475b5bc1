"""Messages that no gateway sends: dropped with one line in the log, which has nothing of what is in them.

Celery and kombu (5.7) expect what their own producers write. JSON that is cut off, or an envelope of another shape,
ends the worker, and so do most headers of another type; a task that is not known is logged with its body, names
included. So Celery gets nothing but jobs.
"""

import json
from collections.abc import Callable, Mapping
from queue import Empty
from typing import Annotated, Any, Final

import structlog
from celery.exceptions import BackendError, InvalidTaskError
from celery.worker.consumer import Consumer
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from redis import DataError, RedisError

from shared.jobs import Job, JobId

log = structlog.stdlib.get_logger(__name__)

_JOB_ID: Final = TypeAdapter(JobId)

Short = Annotated[str, Field(max_length=200)]


class _Headers(BaseModel):
    """What Celery reads of the headers. What makes it do more than the job, or later, is never sent."""

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
"""A body: no positional arguments, the job, and nothing that is to follow it."""


def complaint(message: Any, tasks: Mapping[str, Any]) -> str | None:
    """Return what is wrong with a message of kombu's, None for one that Celery takes and that is a job. tasks: those of
    the application, each with its job_type (see worker/tasks.py).
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
    """Celery's, which is handed jobs alone."""

    def create_task_handler(self, *arguments: Any, **options: Any) -> Callable[[Any], object]:
        take = super().create_task_handler(*arguments, **options)

        def on_task_received(message: Any) -> None:
            reason = complaint(message, self.app.tasks)
            if reason is None:
                take(message)
            else:
                self.drop(message, reason)

        return on_task_received

    def drop(self, message: Any, reason: str) -> None:
        """Forget a message. If it is one of a gateway's, of another release, whoever waits for it is told."""
        message.ack_log_error(log, self.connection_errors)
        job_id = _job_id(message)
        log.warning("message_dropped", reason=reason, job_id=job_id)
        if job_id is not None:
            try:
                self.app.backend.mark_as_failure(job_id, InvalidTaskError(reason))
            except (RedisError, BackendError) as error:
                log.error("outcome_not_stored", error=type(error).__name__)  # noqa: TRY400 -- it says all

    # What Celery calls where it notices something itself, and logs the body.

    def on_unknown_message(self, _body: object, message: Any) -> None:
        self.drop(message, "envelope")

    def on_unknown_task(self, _body: object, message: Any, _exc: BaseException) -> None:
        self.drop(message, "task")

    def on_invalid_task(self, _body: object, message: Any, _exc: BaseException) -> None:
        self.drop(message, "envelope")

    def on_decode_error(self, message: Any, _exc: BaseException) -> None:
        self.drop(message, "body")


def guard(channel: Any) -> None:
    """Have a channel of kombu's Redis transport drop what does not even become a message: in the queue, and among the
    jobs of dead workers, of which one that cannot be read keeps the others from being delivered again.
    """
    read, restore = channel.handlers["BRPOP"], channel.qos.restore_by_tag
    # kombu counts KeyError among them, which every envelope without a key raises.
    lost = tuple(kind for kind in channel.connection_errors if kind is not KeyError)

    def read_next(**options: Any) -> object:
        try:
            return read(**options)
        except (Empty, *lost):
            raise
        except Exception as error:
            # The broker's own errors are none of a message; an argument that cannot be sent to it is.
            if isinstance(error, RedisError) and not isinstance(error, DataError):
                raise
            log.warning("message_dropped", reason="no message", error=type(error).__name__)
            return True

    def restore_by_tag(tag: Any, client: Any = None, leftmost: bool = False) -> None:
        qos = channel.qos
        with channel.conn_or_acquire(client) as connected:
            kept = connected.hget(qos.unacked_key, tag)
            if kept is not None and not _can_be_restored(kept):
                pipeline = connected.pipeline()
                pipeline.zrem(qos.unacked_index_key, tag).hdel(qos.unacked_key, tag).execute()
                log.warning("message_dropped", reason="no message")
                return
        restore(tag, client=client, leftmost=leftmost)

    channel.handlers["BRPOP"] = read_next
    channel.qos.restore_by_tag = restore_by_tag


def _can_be_restored(kept: bytes | str) -> bool:
    """Whether it is a message as it was pushed, with its exchange and its routing key."""
    try:
        payload, exchange, routing_key = json.loads(kept)
        return (
            isinstance(payload["headers"], dict)
            and isinstance(payload["properties"]["delivery_info"], dict)
            and isinstance(exchange, str)
            and isinstance(routing_key, str)
        )
    except (ValueError, TypeError, KeyError, RecursionError):
        return False


def _job_id(message: Any) -> str | None:
    try:
        return _JOB_ID.validate_python(message.headers["id"], strict=True)
    except (ValidationError, KeyError, TypeError):
        return None
