"""The Celery tasks, one for each call: a message comes in, an outcome goes back. Delivery policy is here alone."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, cast

import structlog
from celery import Celery, Task
from redis import RedisError

from shared.asynchronous import IMAGES, MOST_IMAGES
from shared.calls import CALLS, Call
from shared.contract import MESSAGES, Status
from shared.errors import ContractError, FaceFlawed, NotYet, Unavailable
from shared.jobs import Job, Outcome, request_id_of
from worker.actions import ACTIONS, Action
from worker.delivery.deadline import require_time
from worker.delivery.ending import Ending, Endings
from worker.delivery.time_limit import TimeLimit
from worker.migration_actions import MIGRATION_ACTIONS
from worker.runtime import Runtime
from worker.store.base import StoreError

log = structlog.stdlib.get_logger(__name__)

DELIVERY: Final[dict[str, Any]] = {
    # A task belongs to the application on which it was registered, since it uses its runtime.
    "shared": False,
    # A job is acknowledged when its outcome is stored, so that the job of a killed worker goes to another one.
    "acks_late": True,
    "reject_on_worker_lost": True,
    "bind": True,
    "serializer": "json",
}


def register(
    app: Celery,
    runtime: Callable[[], Runtime],
    endings: Callable[[], Endings],
    limit: TimeLimit,
    calls: Iterable[Call] = CALLS,
    actions: Mapping[type[Job], Action] = ACTIONS,
) -> None:
    """Register the tasks of the calls on the application. Each run gets its collaborators from runtime(), has a time
    limit, and is ended by endings(). Raises KeyError for a call without an action.
    """

    def task(job_type: type[Job], action: Action) -> None:
        def do(job: Job, headers: Mapping[str, Any], tag: str | None) -> Ending:
            """Do a job, given the headers and the delivery tag of its message."""
            with endings().job(job, headers, tag) as ending:
                try:
                    with limit.job(job, tag), runtime().metrics.job(job, headers) as timer:
                        outcome = perform_once(job, action, runtime(), can_wait=IMAGES in headers)
                        timer.status = outcome.status
                    ending.outcome = outcome
                except NotYet:
                    ending.outcome, ending.is_put_back = _failed(), True
            if ending.complete and not ending.is_put_back and IMAGES in headers:
                _forget_images(job, headers[IMAGES], runtime())
            return ending

        def run(this: Task, **message: Any) -> dict[str, Any]:
            request = this.request
            ending = do(job_type(**message), request.headers or {}, (request.properties or {}).get("delivery_tag"))
            request.ignore_result = ending.complete
            return cast("Outcome", ending.outcome).model_dump(mode="json")

        # job_type and do: attributes of the task, by which worker/delivery/consumer.py checks its messages and does its
        # jobs. Only those that are delivered again are run as tasks.
        app.task(run, name=job_type.task, job_type=job_type, do=staticmethod(do), **DELIVERY)

    for job_type in dict.fromkeys(call.job for call in calls):
        task(job_type, actions[job_type])
    for job_type, action in MIGRATION_ACTIONS.items():
        task(job_type, action)


def perform_once(job: Job, action: Action, runtime: Runtime, *, can_wait: bool = False) -> Outcome:
    """Run an action unless the request has an outcome already; under an Idempotency-Key the first outcome counts.
    can_wait: as `perform` takes it.
    """
    if job.once is None:
        return perform(job, action, runtime, can_wait=can_wait)
    try:
        kept = runtime.ledger.outcome(job.once)
        if kept is not None:
            return kept
        outcome = perform(job, action, runtime, can_wait=can_wait)
        return outcome if outcome.status is Status.FAIL else runtime.ledger.keep(job, outcome)
    except RedisError as error:
        log.error("outcome_not_kept", job_id=job.job_id, error=type(error).__name__)  # noqa: TRY400 -- see perform
        return _failed()


def perform(job: Job, action: Action, runtime: Runtime, *, can_wait: bool = False) -> Outcome:
    """Run an action and return its outcome; every error becomes one, so that no job is retried in a loop. can_wait:
    raises NotYet for a job that has to wait for another one, which then is done later, before its deadline.
    """
    identifiers = {"request_id": request_id_of(job.job_id), "job_id": job.job_id}
    with structlog.contextvars.bound_contextvars(**identifiers, task=job.task):
        try:
            require_time(job)
            message = action(job, runtime)
            log.debug("job_answered", status=Status.OK)
            return Outcome(status=Status.OK, message=message)
        except Unavailable as error:
            if can_wait and isinstance(error, NotYet):
                log.debug("job_put_back", reason=error.reason)
                raise
            log.warning("job_unavailable", reason=error.reason)
            return _failed()
        except ContractError as error:
            log.debug("job_answered", status=error.status, rejected=error.rejected)
            if error.rejected is not None:
                runtime.metrics.rejected(error.rejected)
            reason = error.flaw if isinstance(error, FaceFlawed) else None
            return Outcome(status=error.status, message=error.message, reason=reason)
        except (StoreError, RedisError) as error:
            log.error("job_failed", error=type(error).__name__, reason=str(error))  # noqa: TRY400 -- expected kinds, the text is enough
            return _failed()
        except MemoryError as error:
            # No fault of the image: the same job succeeds where there is more memory.
            log.error("job_out_of_memory", reason=str(error))  # noqa: TRY400 -- the traceback does not matter
            return _failed()
        except Exception:
            log.exception("job_crashed")
            return _failed()


def _forget_images(job: Job, count: Any, runtime: Runtime) -> None:
    """Remove the images of an asynchronous job. count: what its message says of them."""
    try:
        if isinstance(count, int) and count <= MOST_IMAGES:
            runtime.ledger.forget_images(job.job_id, count)
    except RedisError as error:
        log.warning("image_left_to_expire", job_id=job.job_id, error=type(error).__name__)


def _failed() -> Outcome:
    return Outcome(status=Status.FAIL, message=MESSAGES[Status.FAIL])
