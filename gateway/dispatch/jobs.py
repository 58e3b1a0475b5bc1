"""Dispatch a job and await its outcome."""

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

from gateway.dispatch.messages import Messages, delivery_tag
from gateway.dispatch.results import Results
from gateway.metrics import Metrics
from gateway.redis_connection import Script, SharedConnection
from shared import fair_queue
from shared.errors import Unavailable
from shared.fair_queue import TENANT, item
from shared.jobs import SENT, Job, Once, Outcome, image_key, new_job_id
from shared.settings import Settings

log = structlog.stdlib.get_logger(__name__)

GRACE_S: Final = 1.0
"""How long past its deadline a result may still arrive: the worker writes nothing later than the deadline, but what it
wrote just before must not be answered with FAIL."""


LOOK_AGAIN_S: Final = 1.0
"""How often a job without an outcome is looked for. Most have theirs long before the first time."""

_ENTER: Final = Script(fair_queue.ENTER)
_WITHDRAW: Final = Script(fair_queue.WITHDRAW)
_IS_LOST: Final = Script(fair_queue.IS_LOST)


@dataclass(frozen=True)
class JobRequest:
    """The job that a checked request asks for, before it has an id.

    collection: of the face database; None for a job about none. fields: those that only this type of job has, as JSON
    values. encoded: the images in the order of the call's image parameters, each as its encoded bytes.
    """

    job_type: type[Job]
    collection: str | None = None
    fields: Mapping[str, str | None] = field(default_factory=dict)
    encoded: tuple[bytes, ...] = ()

    def digest(self) -> str:
        """Return the SHA-256 of the request in hexadecimal: requests with the same digest ask for the same."""
        # The sizes of all but the first image say where one ends and the next begins.
        sizes = [len(image) for image in self.encoded[1:]]
        text = json.dumps([self.job_type.task, self.collection, sorted(self.fields.items()), *sizes])
        return hashlib.sha256(b"\0".join((text.encode(), b"".join(self.encoded)))).hexdigest()

    def job(self, **common: Any) -> Job:
        """Return the job. common: the fields that every job has."""
        about = {} if self.collection is None else {"collection": self.collection}
        return self.job_type.model_validate({**about, **self.fields, **common})


class Jobs:
    """Claim check, dispatch and waiting: everything between a checked request and its outcome.

    in_flight: the block that it makes for a tenant spans each of the tenant's jobs, from dispatch to outcome.
    """

    def __init__(
        self,
        settings: Settings,
        gateway_id: str,
        broker: SharedConnection,
        images: SharedConnection,
        results: Results,
        in_flight: Callable[[str], AbstractContextManager[None]],
        metrics: Metrics,
    ) -> None:
        self._broker = broker
        self._image_ttl_s = settings.image_ttl_s
        self._gateway_id = gateway_id
        self._images = images
        self._results = results
        self._in_flight = in_flight
        self._metrics = metrics
        self._messages = Messages(settings)
        self._background: set[asyncio.Task[None]] = set()

    async def do(
        self, tenant: str, request_id: str, job_request: JobRequest, deadline: float, once: Once | None = None
    ) -> Outcome:
        """Have a worker do the job when it is that tenant's turn, and return its outcome. deadline: Unix time in
        seconds. Raises Unavailable when no outcome came in time.
        """
        job = job_request.job(job_id=new_job_id(self._gateway_id, request_id), deadline=deadline, once=once)
        images = {image_key(job.job_id, number): image for number, image in enumerate(job_request.encoded)}
        return await self._run(tenant, job, images)

    async def close(self) -> None:
        if self._background:
            await asyncio.wait(self._background, timeout=GRACE_S)
        self._messages.close()

    async def _run(self, tenant: str, job: Job, images: Mapping[str, bytes]) -> Outcome:
        if not self._results.subscribed:
            raise Unavailable("no result could arrive: broker not connected")
        try:
            with self._results.expect(job.job_id) as outcome:
                async with asyncio.timeout(job.deadline - time.time() + GRACE_S):
                    if images:
                        with self._metrics.stages.time("claim_check"):
                            for key, image in images.items():
                                await self._images.call("SET", key, image, "EX", self._image_ttl_s)
                    with self._in_flight(tenant):
                        return await self._outcome(tenant, job, outcome)
        except TimeoutError:
            raise Unavailable("no outcome before the deadline") from None
        except (RedisError, OSError) as error:
            raise Unavailable(f"dispatch: {type(error).__name__}") from error
        finally:
            if images:
                self._in_background(self._forget(*images))

    async def _outcome(self, tenant: str, job: Job, outcome: asyncio.Future[Outcome]) -> Outcome:
        """Dispatch the job and await its outcome; dispatch it again when it got lost.

        kombu takes a job from the queue and only then notes who has it: killed in between, a worker loses it. Doing a
        job twice has the effect of once, so it is enough to notice. While jobs wait in the queue this one may be among
        them, and while it is noted a worker does it or will get it: nothing is sent then, since an overloaded service
        must not get more to do.
        """
        while True:
            with self._metrics.stages.time("dispatch"):
                headers = {SENT: time.time(), TENANT: tenant, **self._metrics.tracer.carried()}
                message = self._messages.of(job, headers)
                waiting = item(job.job_id, job.deadline, message)
                await self._broker.run(_ENTER, [], [tenant, job.job_id, waiting])
            try:
                with self._metrics.stages.time("outcome"):
                    if await self._arrives(outcome, tenant, message):
                        return outcome.result()
            except asyncio.CancelledError:  # the time is over
                self._in_background(self._withdraw(tenant, job.job_id, waiting, message))
                raise
            self._metrics.lost.inc()
            log.warning("job_lost", job_id=job.job_id)

    async def _arrives(self, outcome: asyncio.Future[Outcome], tenant: str, message: str) -> bool:
        """Whether the outcome of a job whose message was just sent arrives; False once the job is lost."""
        while not (await asyncio.wait({outcome}, timeout=LOOK_AGAIN_S))[0]:
            if await self._is_lost(tenant, message):
                return False
        return True

    async def _is_lost(self, tenant: str, message: str) -> bool:
        """Whether no worker has the job of that message and none will get it, by the broker's word."""
        try:
            return bool(await self._broker.run(_IS_LOST, [], [tenant, delivery_tag(message)]))
        except (RedisError, OSError):
            return False  # a broker that comes back in time still has the job

    async def _withdraw(self, *job: str) -> None:
        """Take a job out of the line that nobody waits for: with no worker to drop it the line would grow."""
        with suppress(RedisError, OSError):
            await self._broker.run(_WITHDRAW, [], job)

    async def _forget(self, *image_keys: str) -> None:
        try:
            await self._images.call("UNLINK", *image_keys)
        except (RedisError, OSError) as error:
            log.warning("image_left_to_expire", error=type(error).__name__)

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        """Nobody has to wait for it, but the loop keeps only weak references to tasks."""
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
