"""Asynchronous jobs: accepting them, looking them up, and looking after them until they end (shared/asynchronous/)."""

import asyncio
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain
from typing import Final

import structlog
from redis import RedisError

from gateway.dispatch.jobs import JobRequest
from gateway.metrics import Metrics
from gateway.redis_connection import Argument, Script, SharedConnection
from shared.asynchronous import DEADLINE_S, FINISH, FULL, IMAGES, MOST_IMAGES, SUBMIT, WATCH, ending, key_of
from shared.calls import Call
from shared.contract import Confidences
from shared.control import WEBHOOK_SECRETS, Caller
from shared.errors import Unavailable
from shared.fair_queue import TENANT, item
from shared.idempotency import JOB
from shared.jobs import JOB_ID, SENT, Once, Outcome, image_key, new_job_id
from shared.messages import FAILED, Messages, delivery_tag, outcome_in
from shared.settings import Settings
from shared.usage import counters

log = structlog.stdlib.get_logger(__name__)

WATCH_S: Final = 1.0
"""Seconds between two looks at all jobs, by any of the gateways."""

MARGIN_S: Final = 5.0
"""Seconds after its deadline when a job without an outcome ends: as long as a worker may take to end one that was just
in time, on a busy machine."""

NOBODYS: Final = 6
"""Visibility timeouts after which no worker has a job that one took: it would have ended by itself, or given the job
back, after one."""

LOOKED_AT: Final = 100
"""Jobs of each kind that one look takes: a millisecond or two of the broker."""

IMAGE_TTL_S: Final = DEADLINE_S + 5

UNACCEPTED_S: Final = 60
"""Time to live of an image until its job is accepted: images do not fill the store for IMAGE_TTL_S while the broker is
away."""

RETRY_S: Final = 5
"""Retry-After while a tenant may have no more jobs: several of them end in that time."""

_SUBMIT: Final = Script(SUBMIT)
_FINISH: Final = Script(FINISH)
_WATCH: Final = Script(WATCH)


class AsynchronousFull(Unavailable):
    """The tenant has as many asynchronous jobs, or as many bytes of their images, as it may."""

    rejected = "asynchronous_full"


@dataclass(frozen=True)
class FoundJob:
    """A job of a caller. call: its name. outcome: None while it has none."""

    call: str
    outcome: Outcome | None


@dataclass(frozen=True)
class Webhook:
    """Where an outcome goes. url: a checked one. form: of its confidences."""

    url: str
    form: Confidences


class AsynchronousJobs:
    """Methods other than run raise Unavailable when Redis cannot be reached."""

    def __init__(
        self,
        settings: Settings,
        gateway_id: str,
        broker: SharedConnection,
        image_store: SharedConnection,
        messages: Messages,
        metrics: Metrics,
    ) -> None:
        self._limits = (settings.async_jobs, settings.async_images_mib << 20)
        self._nobodys_s = NOBODYS * settings.visibility_timeout_s
        self._gateway_id = gateway_id
        self._broker = broker
        self._image_store = image_store
        self._messages = messages
        self._metrics = metrics

    async def submit(
        self,
        caller: Caller,
        call: Call,
        request_id: str,
        job_request: JobRequest,
        once: Once | None,
        webhook: Webhook | None = None,
    ) -> str:
        """Accept a job: it will be done, or end as FAIL, whatever becomes of this gateway. Return its id: that of the
        earlier one if a repeated request has one. Raises AsynchronousFull.
        """
        job_id, deadline = new_job_id(self._gateway_id, request_id), time.time() + DEADLINE_S
        job = job_request.job(job_id=job_id, deadline=deadline, once=once)
        headers = {SENT: time.time(), TENANT: caller.tenant_id, IMAGES: len(job_request.encoded)}
        message = self._messages.make(job, {**headers, **self._metrics.tracer.carried()})
        fields = {
            "call": call.name,
            "usage": counters(caller.tenant, caller.id, call.name),
            "item": item(job_id, deadline, message),
            "tag": delivery_tag(message),
            **({} if webhook is None else {"webhook": webhook.url, "form": webhook.form}),
        }
        keys = [key_of(job_id), *([] if once is None else [once.record])]
        size = sum(map(len, job_request.encoded))
        about: list[Argument] = [
            job_id,
            caller.tenant_id,
            deadline,
            size,
            *self._limits,
            *chain.from_iterable(fields.items()),
        ]
        images = {image_key(job_id, number): image for number, image in enumerate(job_request.encoded)}
        with _unavailable():
            for key, image in images.items():
                await self._image_store.call("SET", key, image, "EX", UNACCEPTED_S)
            accepted: str = (await self._broker.run(_SUBMIT, keys, about)).decode()
            if accepted == job_id:
                for key in images:
                    await self._image_store.call("EXPIRE", key, IMAGE_TTL_S)
            elif images:
                await self._image_store.call("UNLINK", *images)
        if accepted == FULL:
            raise AsynchronousFull("the tenant has its share of asynchronous jobs", RETRY_S)
        if accepted == job_id:
            self._metrics.asynchronous.accepted(call)
        return accepted

    async def has_webhook_secret(self, tenant_id: str) -> bool:
        """Return whether webhooks of the tenant can be signed."""
        with _unavailable():
            return bool(await self._broker.call("HEXISTS", WEBHOOK_SECRETS, tenant_id))

    async def of_record(self, once_record: str) -> str | None:
        """Return the id of the job under an Idempotency-Key, None if it has none, or one that is not known any more."""
        with _unavailable():
            kept = await self._broker.call("HGET", once_record, JOB)
            if kept is None or not await self._broker.call("EXISTS", key_of(kept.decode())):
                return None
        return str(kept.decode())

    async def find(self, tenant_id: str, job_id: str) -> FoundJob | None:
        """Return a job of that tenant, None if it has none with this id. job_id: any text."""
        if not re.fullmatch(JOB_ID, job_id):
            return None
        with _unavailable():
            tenant, call, outcome = await self._broker.call("HMGET", key_of(job_id), "tenant", "call", "outcome")
        if tenant is None or tenant.decode() != tenant_id:
            return None
        return FoundJob(call.decode(), None if outcome is None else Outcome.model_validate_json(outcome))

    async def run(self) -> None:
        """Look after all jobs every WATCH_S seconds, with the other gateways, until cancelled."""
        while True:
            await asyncio.sleep(WATCH_S)
            with suppress(RedisError, OSError):
                await self.watch()

    async def watch(self) -> None:
        """End jobs whose deadline is over or that Celery ended, and send lost ones again. Does nothing if another
        gateway has just done so. Raises redis.RedisError and OSError.
        """
        outcome, _, day = ending(FAILED)
        arguments: list[Argument] = [round(WATCH_S * 900), MARGIN_S, WATCH_S, LOOKED_AT, outcome, day, self._nobodys_s]
        looked: tuple[int, list[bytes], list[bytes]] | None = await self._broker.run(_WATCH, [], arguments)
        if looked is None:
            return
        ended, lost, results = looked
        if ended:
            self._metrics.asynchronous.expired.inc(ended)
            log.warning("asynchronous_jobs_expired", count=ended)
        for job_id in lost:
            self._metrics.lost.inc()
            log.warning("job_lost", job_id=job_id.decode())
        for job_id, result in zip(results[::2], results[1::2], strict=True):
            if (found := outcome_in(result)) is not None:
                ended_now: int = await self._broker.run(_FINISH, [], [job_id, *ending(found)])
                if found == FAILED:
                    self._metrics.asynchronous.expired.inc(ended_now)
                await self._image_store.call("UNLINK", *(image_key(job_id.decode(), n) for n in range(MOST_IMAGES)))


@contextmanager
def _unavailable() -> Iterator[None]:
    """Raise Unavailable where Redis cannot be reached."""
    try:
        yield
    except (RedisError, OSError) as error:
        raise Unavailable(f"asynchronous job: {type(error).__name__}") from error
