"""Jobs of operators: those of the calls about persons, dispatched in the name of a tenant, without a key or limits.

The admin API and the commands use it. A gateway waits for many outcomes at once on a subscription; who asks for one
now and then looks whether it is there.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast

from redis.asyncio import Redis

from shared import fair_queue
from shared.broker import RESULT_PREFIX
from shared.calls import Call
from shared.contract import Message, Status
from shared.control import Control, Facedb, Unknown
from shared.control.layout import TENANT_IDS, tenant_id
from shared.errors import InvalidRequest, OperatorError, PersonUnknown, Unavailable
from shared.fair_queue import TENANT, item
from shared.jobs import (
    SENT,
    CountFacedbsJob,
    FacedbJob,
    FacedbToCount,
    Job,
    Outcome,
    image_key,
    new_gateway_id,
    new_job_id,
    new_request_id,
)
from shared.messages import Messages, outcome_in
from shared.parameters import checked
from shared.persons import CountedFacedb
from shared.settings import Settings

POLL_S: Final = 0.02

GRACE_S: Final = 1.0
"""Seconds past its deadline in which an outcome may still arrive, as for callers."""

FAILED: Final = (
    "a worker tried it and failed: most likely its store did not answer in time; try again, and if it stays so, look "
    "for the reason at job_failed or job_unavailable in the log of the workers"
)

COUNTED_AT_ONCE: Final = 50
"""Facedbs that one job counts. Opening each of an embedded store takes some 40 ms, and a job may take some 3 s."""


@dataclass(frozen=True)
class Image:
    """An image of a job, and the image store."""

    encoded: bytes = field(repr=False)
    images: Redis


class OperatorJobs:
    """Has workers do jobs. control: the control data. Not safe for threads."""

    def __init__(self, control: Control, settings: Settings) -> None:
        self.control = control
        self._settings = settings
        self._messages = Messages(settings)
        self._id = new_gateway_id()

    def close(self) -> None:
        self._messages.close()

    async def do(self, call: Call, tenant: str, facedb: str | None = None, **given: str) -> Message:
        """Have a worker do what a call without images does, and return its message of OK. facedb: None for the tenant's
        default, or all. given: the call's other parameters, as texts.

        Raises Unknown for what is not there, OperatorError for a wrong parameter, Unavailable when no worker does it
        before the deadline of a request, and RedisError.
        """
        owner = await self.control.tenant(tenant)
        where = await self._facedb(tenant, facedb or owner.facedb)
        try:
            fields = checked(call.parameters_for(self._settings.names), given).job_fields()
            if call.job is CountFacedbsJob:
                return await self._counted(tenant, owner.facedb)
            fields["collection"] = where.collection
            outcome = await self._done(call.job, await self._tenant_id(tenant), fields)
        except InvalidRequest as error:
            raise OperatorError(error.message) from None
        except PersonUnknown:
            raise _no_such_person(where.name, tenant) from None
        if outcome.status is Status.PERSON_ID_NOT_EXIST:
            raise _no_such_person(where.name, tenant)
        return _message(outcome)

    async def _counted(self, tenant: str, default: str) -> list[CountedFacedb]:
        """Return how much is in each facedb of a tenant. Each job counts some of them, since one job may not take long.
        default: the name of the tenant's default.
        """
        facedbs = [
            FacedbToCount(name=each.name, default=each.name == default, collection=each.collection)
            for each in await self.control.facedbs(tenant)
        ]
        owner = await self._tenant_id(tenant)
        counted: list[CountedFacedb] = []
        for begin in range(0, len(facedbs), COUNTED_AT_ONCE):
            some = {"facedbs": facedbs[begin : begin + COUNTED_AT_ONCE]}
            counted += cast("list[CountedFacedb]", _message(await self._done(CountFacedbsJob, owner, some)))
        return counted

    async def _facedb(self, tenant: str, name: str) -> Facedb:
        found = await self.control.facedb(tenant, name)
        if found is None:
            raise Unknown.facedb(tenant, name)
        return found

    async def _tenant_id(self, tenant: str) -> str:
        return tenant_id(await self.control.redis.hget(TENANT_IDS, tenant), tenant)

    async def outcome(
        self, job_type: type[FacedbJob], tenant: str, facedb: Facedb, image: Image | None = None, **fields: Any
    ) -> Outcome:
        """Have a worker do a job that no call asks for, and return its outcome. image: leaves the job's image where
        workers read it. Raises Unavailable and RedisError as `do` does.
        """
        about = {"collection": facedb.collection, **fields}
        return await self._done(job_type, await self._tenant_id(tenant), about, image)

    async def _done(
        self, job_type: type[Job], tenant: str, fields: Mapping[str, Any], image: Image | None = None
    ) -> Outcome:
        """Dispatch a job and return its outcome. tenant: its id."""
        deadline = time.time() + self._settings.deadline_s
        job_id = new_job_id(self._id, new_request_id())
        job = job_type.model_validate({**fields, "job_id": job_id, "deadline": deadline})
        message = self._messages.make(job, {SENT: time.time(), TENANT: tenant})
        waiting = item(job_id, deadline, message)
        if image is not None:
            await image.images.set(image_key(job_id), image.encoded, ex=self._settings.image_ttl_s)
        redis: Redis = self.control.redis
        await _run(redis, fair_queue.ENTER, tenant, job_id, waiting)
        try:
            async with asyncio.timeout(self._settings.deadline_s + GRACE_S):
                while True:
                    found = await redis.get(RESULT_PREFIX + job_id)
                    outcome = None if found is None else outcome_in(found)
                    if outcome is not None:
                        return outcome
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            await _run(redis, fair_queue.WITHDRAW, tenant, job_id, waiting, message)
            seconds = self._settings.deadline_s
            raise Unavailable(f"no worker did it within {seconds:g} s; see whether one runs, and try again") from None
        finally:
            if image is not None:
                await image.images.delete(image_key(job_id))


async def _run(redis: Redis, script: str, *values: str) -> None:
    await cast("Any", redis.eval(script, 0, *values))


def _message(outcome: Outcome) -> Message:
    """Return the message of OK. Raises Unavailable for FAIL and OperatorError for all else."""
    if outcome.status is Status.FAIL:
        raise Unavailable(FAILED)
    if outcome.status is not Status.OK:
        raise OperatorError(str(outcome.message))
    return outcome.message


def _no_such_person(facedb: str, tenant: str) -> Unknown:
    return Unknown(
        f"facedb {facedb} of tenant {tenant} has no such person", f"persons list --tenant {tenant} --facedb {facedb}"
    )
