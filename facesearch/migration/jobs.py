"""The jobs of a migration, done by the workers of the running service."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeVar

from pydantic import BaseModel
from redis.asyncio import Redis

from shared.contract import Status
from shared.control import Facedb
from shared.errors import OperatorError, Unavailable
from shared.jobs import FacedbJob
from shared.migration_jobs import (
    ComparedPhoto,
    CompareModelsJob,
    MigratedPhoto,
    MigratePhotoJob,
    MigrationPlan,
    PlanMigrationJob,
    Reconciled,
    ReconcileJob,
    SeenPerson,
)
from shared.operator_jobs import FAILED, Image, OperatorJobs

R = TypeVar("R", bound=BaseModel)

TRIES: Final = 5
"""Times that a job is asked for that ends in FAIL: a killed worker is replaced within seconds."""

PAUSE_S: Final = 1.0
"""Pause after the first FAIL, twice as long after each further one: 15 s in all."""


class RefusedPhotoError(Exception):
    """A photo that cannot be used; the text says why."""


@dataclass(frozen=True)
class MigrationJobs:
    """Has workers do the jobs of the migration of one facedb. images: a client of the image store.

    Its methods raise OperatorError when no worker does a job, again and again.
    """

    jobs: OperatorJobs
    images: Redis
    tenant: str
    facedb: Facedb

    async def plan(self) -> MigrationPlan:
        return await self._result(MigrationPlan, PlanMigrationJob)

    async def migrate(self, photo: bytes, persons: Sequence[uuid.UUID], least: float) -> MigratedPhoto:
        """Add the faces of a photo. Raises RefusedPhotoError, too."""
        return await self._result(MigratedPhoto, MigratePhotoJob, photo, persons=list(persons), least=least)

    async def compare(self, photo: bytes) -> ComparedPhoto:
        """Search for a photo with both models. Raises RefusedPhotoError, too."""
        return await self._result(ComparedPhoto, CompareModelsJob, photo)

    async def reconcile(self) -> AsyncIterator[SeenPerson]:
        """Make both collections alike, and yield every person that is searched."""
        sides: tuple[Literal["other", "current"], ...] = ("other", "current")
        for side in sides:
            after = None
            while True:
                done = await self._result(Reconciled, ReconcileJob, side=side, after=after)
                for person in done.persons:
                    yield person
                after = done.next
                if after is None:
                    break

    async def _result(self, kind: type[R], job: type[FacedbJob], photo: bytes | None = None, **fields: Any) -> R:
        image = None if photo is None else Image(photo, self.images)
        why = ""
        for failures in range(TRIES):
            if failures:
                await asyncio.sleep(PAUSE_S * 2 ** (failures - 1))
            try:
                outcome = await self.jobs.outcome(job, self.tenant, self.facedb, image, **fields)
            except Unavailable as error:
                why = error.reason
                continue
            if outcome.status is Status.OK:
                return kind.model_validate_json(str(outcome.message))
            if outcome.status is not Status.FAIL:
                raise RefusedPhotoError(_reason(outcome.status, str(outcome.message)))
            why = FAILED
        raise OperatorError(f"{why}. The same command goes on with the rest")


def _reason(status: Status, message: str) -> str:
    if status is Status.PERSON_ID_NOT_EXIST:
        return "it shows nobody whose stored face is like it"
    if status is Status.FACE_DETECT_FAILED:
        return "no face is found in it"
    return message
