"""Dispatching jobs and waiting for their outcomes."""

import asyncio
import hashlib
import json
import time
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from typing import Any, Final

import structlog
from redis import RedisError

from gateway.dispatch.results import Results
from gateway.metrics import Metrics
from gateway.redis_connection import Script, SharedConnection
from shared import fair_queue
from shared.errors import Unavailable
from shared.fair_queue import TENANT, item
from shared.jobs import SENT, Job, Once, Outcome, SentCalibration, image_key, new_job_id
from shared.messages import Messages, delivery_tag
from shared.settings import Settings

log = structlog.stdlib.get_logger(__name__)

GRACE_S: Final = 1.0
"""Seconds past its deadline in which an outcome may still arrive: the worker writes nothing after the deadline, but
what it wrote just before must not be answered with FAIL."""

LOST_CHECK_S: Final = 1.0
"""Seconds between checks whether a job without an outcome is lost. Most have theirs long before the first."""

_ENTER: Final = Script(fair_queue.ENTER)
_WITHDRAW: Final = Script(fair_queue.WITHDRAW)
_IS_LOST: Final = Script(fair_queue.IS_LOST)


@dataclass(frozen=True)
class JobRequest:
    """The job that a checked request asks for, before it has an id.

    collection: of the face database; None for a job about none. fields: those that only this type of job has, as JSON
    values. encoded: the images in the order of the call's image parameters, each as its encoded bytes. calibration:
    that of the face database, where faces are compared with its own; None where the model's holds.
    """

    job_type: type[Job]
    collection: str | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)
    encoded: tuple[bytes, ...] = ()
    calibration: SentCalibration | None = None

    def digest(self) -> str:
        """Return the SHA-256 of the request in hexadecimal: requests with the same digest ask for the same, whatever
        calibration the face database has by then.
        """
        # The sizes of all but the first image say where one ends and the next begins.
        sizes = [len(image) for image in self.encoded[1:]]
        text = json.dumps([self.job_type.task, self.collection, sorted(self.fields.items()), *sizes])
        return hashlib.sha256(b"\0".join((text.encode(), b"".join(self.encoded)))).hexdigest()

    def job(self, **common: Any) -> Job:
        """Return the job. common: the fields that every job has."""
        about: dict[str, Any] = {} if self.collection is None else {"collection": self.collection}
        if self.calibration is not None:
            about["calibration"] = self.calibration
        return self.job_type.model_validate({**about, **self.fields, **common})


class Jobs:
    """Claim check, dispatch and waiting: everything between a checked request and its outcome.

    in_flight: called with a tenant, returns a context that is entered from dispatch to outcome of each of its jobs.
    """

    def __init__(
        self,
        settings: Settings,
        gateway_id: str,
        broker: SharedConnection,
        image_store: SharedConnection,
        results: Results,
        messages: Messages,
        in_flight: Callable[[str], AbstractContextManager[None]],
        metrics: Metrics,
    ) -> None:
        self._broker = broker
        self._image_ttl_s = settings.image_ttl_s
        self._gateway_id = gateway_id
        self._image_store = image_store
        self._results = results
        self._in_flight = in_flight
        self._metrics = metrics
        self._messages = messages
        self._background: set[asyncio.Task[None]] = set()

    async def do(
        self, tenant: str, request_id: str, job_request: JobRequest, deadline: float, once: Once | None = None
    ) -> Outcome:
        """Have a worker do the job when it is that tenant's turn, and return its outcome. deadline: Unix time in
        seconds; GRACE_S later the caller must cancel this. Raises Unavailable when the job cannot be dispatched.
        """
        job = job_request.job(job_id=new_job_id(self._gateway_id, request_id), deadline=deadline, once=once)
        images = {image_key(job.job_id, number): image for number, image in enumerate(job_request.encoded)}
        return await self._run(tenant, job, images)

    async def close(self) -> None:
        if self._background:
            await asyncio.wait(self._background, timeout=GRACE_S)

    async def _run(self, tenant: str, job: Job, images: Mapping[str, bytes]) -> Outcome:
        if not self._results.subscribed:
            raise Unavailable("no result could arrive: broker not connected")
        try:
            with self._results.expect(job.job_id) as outcome:
                if images:
                    with self._metrics.stages.time("claim_check"):
                        for key, image in images.items():
                            await self._image_store.call("SET", key, image, "EX", self._image_ttl_s)
                with self._in_flight(tenant):
                    return await self._outcome(tenant, job, outcome)
        except (RedisError, OSError) as error:
            raise Unavailable(f"dispatch: {type(error).__name__}") from error
        finally:
            if images:
                self._in_background(self._forget(*images))

    async def _outcome(self, tenant: str, job: Job, outcome: asyncio.Future[Outcome]) -> Outcome:
        """Dispatch the job and wait for its outcome; dispatch it again if it is lost.

        kombu takes a job from the queue before it records which worker has it; a worker killed in between loses it. A
        job that is done twice has the effect of once, so it may be sent again. It is not lost while jobs wait in the
        queue, of which it may be one, nor while a worker is recorded: an overloaded service must not get more to do.
        """
        while True:
            with self._metrics.stages.time("dispatch"):
                headers = {SENT: time.time(), TENANT: tenant, **self._metrics.tracer.carried()}
                message = self._messages.make(job, headers)
                waiting = item(job.job_id, job.deadline, message)
                await self._broker.run(_ENTER, [], [tenant, job.job_id, waiting])
            try:
                with self._metrics.stages.time("outcome"):
                    if await self._arrives(outcome, tenant, message):
                        return outcome.result()
            except asyncio.CancelledError:  # the deadline is over
                self._in_background(self._withdraw(tenant, job.job_id, waiting, message))
                raise
            self._metrics.lost.inc()
            log.warning("job_lost", job_id=job.job_id)

    async def _arrives(self, outcome: asyncio.Future[Outcome], tenant: str, message: str) -> bool:
        """Wait for the outcome of a job that was just sent. Returns False if the job is lost."""
        while not (await asyncio.wait({outcome}, timeout=LOST_CHECK_S))[0]:
            if await self._is_lost(tenant, message):
                return False
        return True

    async def _is_lost(self, tenant: str, message: str) -> bool:
        """Ask the broker whether no worker has the job of that message and none will get it."""
        try:
            return bool(await self._broker.run(_IS_LOST, [], [tenant, delivery_tag(message)]))
        except (RedisError, OSError):
            return False  # a broker that returns in time still has the job

    async def _withdraw(self, *job: str) -> None:
        """Remove an abandoned job from its tenant's queue, which would grow while no worker is alive."""
        with suppress(RedisError, OSError):
            await self._broker.run(_WITHDRAW, [], job)

    async def _forget(self, *image_keys: str) -> None:
        try:
            await self._image_store.call("UNLINK", *image_keys)
        except (RedisError, OSError) as error:
            log.warning("image_left_to_expire", error=type(error).__name__)

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine as a task, with a reference to it: the loop keeps only weak ones."""
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
