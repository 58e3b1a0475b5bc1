"""Celery's consumer of jobs, with a short way from the queue to a thread.

Celery (5.7) wraps each message into a request and each run into a tracer, which decode and check it again and keep
what remote control would show: half a millisecond a job. Here a job is decoded and checked once and goes to Celery's
pool of threads as it is. What is rare goes Celery's own way: jobs that are delivered again, which may have an outcome
already, and those that are too late.
"""

import time
from collections.abc import Callable
from typing import Any

import structlog
from celery import signals
from celery.exceptions import BackendError, InvalidTaskError
from celery.worker.consumer import Consumer
from redis import RedisError

from shared.jobs import Job
from worker.delivery.malformed import Malformed, id_of, read_job

log = structlog.stdlib.get_logger(__name__)


class JobConsumer(Consumer):  # type: ignore[misc]  # Celery has no types
    """Celery's consumer, which gets valid jobs only."""

    def create_task_handler(self, *arguments: Any, **options: Any) -> Callable[[Any], object]:
        take = super().create_task_handler(*arguments, **options)

        def on_task_received(message: Any) -> None:
            try:
                job = read_job(message, self.app.tasks)
            except Malformed as flaw:
                self.drop(message, flaw.reason)
                return
            if message.delivery_info.get("redelivered") or job.deadline <= time.time():
                take(message)
            else:
                self.give(job, message)

        return on_task_received

    def give(self, job: Job, message: Any) -> None:
        """Have a thread of the pool do a job, and acknowledge its message afterwards."""

        def acknowledge(done: bool) -> None:
            if done:
                self.call_soon_ack(message.ack_log_error, log, self.connection_errors)

        # Without arguments: a pool logs them.
        self.pool.apply_async(lambda: self._do(job, message), callback=acknowledge)

    def _do(self, job: Job, message: Any) -> bool:
        """Do a job. Return whether its outcome is stored; if not, send task_internal_error, a signal of Celery."""
        task = self.app.tasks[job.task]
        try:
            ending = task.do(job, message.headers, message.delivery_tag)
            if not ending.complete:
                self.app.backend.mark_as_done(job.job_id, ending.outcome.model_dump(mode="json"))
        except Exception as error:  # noqa: BLE001 -- as above
            signals.task_internal_error.send(sender=task, task_id=job.job_id, exception=error)
            return False
        return True

    def drop(self, message: Any, reason: str) -> None:
        """Acknowledge a message and log it. If it has a job id, as one of a gateway of another release has,
        store a failure for the gateway that waits.
        """
        message.ack_log_error(log, self.connection_errors)
        job_id = id_of(message)
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
