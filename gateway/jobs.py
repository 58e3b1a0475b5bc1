"""Dispatch a job and await its outcome."""

import asyncio
import time
from collections.abc import Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, Final

import structlog
from celery import Celery
from kombu.exceptions import OperationalError
from redis import RedisError
from redis.asyncio import Redis

from gateway.metrics import Metrics
from gateway.results import Results
from shared.broker import UNACKED, celery_config
from shared.errors import Unavailable
from shared.jobs import QUEUE, SENT, AddJob, DeleteJob, Job, Outcome, SearchJob, image_key, new_job_id
from shared.settings import Settings

log = structlog.stdlib.get_logger(__name__)

GRACE_S: Final = 1.0
"""How long past its deadline a result may still arrive: the worker writes nothing later than the deadline, but what it
wrote just before must not be answered with FAIL."""


LOOK_AGAIN_S: Final = 1.0
"""How often a job without an outcome is looked for. Most have theirs long before the first time."""


def create_producer(settings: Settings) -> Celery:
    """A Celery application that only sends. Without a result backend: with one it would subscribe to every single
    task on a connection that nobody reads.
    """
    app = Celery("facesearch.gateway", backend="disabled://", set_as_current=False)
    app.conf.update(celery_config(settings), broker_pool_limit=settings.dispatch_threads)
    return app


class Jobs:
    """Claim check, dispatch and waiting: everything between a checked request and its outcome."""

    def __init__(
        self,
        settings: Settings,
        gateway_id: str,
        broker: Redis,
        images: Redis,
        results: Results,
        metrics: Metrics,
    ) -> None:
        self._deadline_s = settings.deadline_s
        self._redelivered_after_s = settings.visibility_timeout_s + LOOK_AGAIN_S
        self._broker = broker
        self._image_ttl_s = settings.image_ttl_s
        self._gateway_id = gateway_id
        self._images = images
        self._results = results
        self._metrics = metrics
        self._producer = create_producer(settings)
        self._threads = ThreadPoolExecutor(settings.dispatch_threads, thread_name_prefix="dispatch")
        self._background: set[asyncio.Task[None]] = set()

    async def add(self, request_id: str, collection: str, image: bytes, name: str | None) -> Outcome:
        """Add every face of the image. Raises Unavailable, like the other calls, when no outcome came in time."""
        return await self._run(AddJob(**self._common(request_id, collection), name=name), image)

    async def search(self, request_id: str, collection: str, image: bytes) -> Outcome:
        return await self._run(SearchJob(**self._common(request_id, collection)), image)

    async def delete(self, request_id: str, collection: str, person_id: Any) -> Outcome:
        return await self._run(DeleteJob(**self._common(request_id, collection), person_id=person_id), None)

    async def close(self) -> None:
        if self._background:
            await asyncio.wait(self._background, timeout=GRACE_S)
        self._threads.shutdown(wait=True, cancel_futures=True)
        self._producer.close()

    def _common(self, request_id: str, collection: str) -> dict[str, Any]:
        return {
            "job_id": new_job_id(self._gateway_id, request_id),
            "collection": collection,
            "deadline": time.time() + self._deadline_s,
        }

    async def _run(self, job: Job, image: bytes | None) -> Outcome:
        if not self._results.subscribed:
            raise Unavailable("no result could arrive: broker not connected")
        try:
            with self._results.expect(job.job_id) as outcome:
                async with asyncio.timeout(job.deadline - time.time() + GRACE_S):
                    if image is not None:
                        with self._metrics.stages.time("claim_check"):
                            await self._images.set(image_key(job.job_id), image, ex=self._image_ttl_s)
                    return await self._outcome(job, outcome)
        except TimeoutError:
            raise Unavailable("no outcome before the deadline") from None
        except (RedisError, OperationalError, OSError) as error:
            raise Unavailable(f"dispatch: {type(error).__name__}") from error
        finally:
            if image is not None:
                self._in_background(self._forget_image(job.job_id))

    async def _outcome(self, job: Job, outcome: asyncio.Future[Outcome]) -> Outcome:
        """Dispatch the job and await its outcome; dispatch it again when it got lost.

        kombu takes a job from the queue and only then notes who has it: killed in between, a worker loses it. Doing a
        job twice has the effect of once, so it is enough to notice. While jobs wait in the queue this one may be among
        them, and nothing is sent: an overloaded service must not get more to do.
        """
        loop = asyncio.get_running_loop()
        while True:
            with self._metrics.stages.time("dispatch"):
                headers = {SENT: time.time(), **self._metrics.tracer.carried()}
                await loop.run_in_executor(self._threads, self._send, job, headers)
            sent = loop.time()
            with self._metrics.stages.time("outcome"):
                while not (await asyncio.wait({outcome}, timeout=LOOK_AGAIN_S))[0]:
                    if await self._is_lost(loop.time() - sent):
                        break
                else:
                    return outcome.result()
            self._metrics.lost.inc()
            log.warning("job_lost", job_id=job.job_id)

    async def _is_lost(self, age_s: float) -> bool:
        """Whether no worker has the job and none will get it: by the broker's word, or by the time it has taken."""
        try:
            if await self._broker.llen(QUEUE):
                return False
            return age_s > self._redelivered_after_s or not await self._broker.hlen(UNACKED)
        except (RedisError, OSError):
            return False  # a broker that comes back in time still has the job

    def _send(self, job: Job, headers: Mapping[str, Any]) -> None:
        self._producer.send_task(
            job.task,
            kwargs=job.model_dump(mode="json"),
            task_id=job.job_id,
            queue=QUEUE,
            expires=datetime.fromtimestamp(job.deadline, UTC),
            # Celery would put a readable copy of the arguments, names included, into headers and logs.
            argsrepr="",
            kwargsrepr="",
            retry=False,
            headers=headers,
        )

    async def _forget_image(self, job_id: str) -> None:
        try:
            await self._images.unlink(image_key(job_id))
        except (RedisError, OSError) as error:
            log.warning("image_left_to_expire", error=type(error).__name__)

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        """Nobody has to wait for it, but the loop keeps only weak references to tasks."""
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
