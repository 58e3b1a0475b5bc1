"""Jobs of a migration, which the command dispatches (facesearch/migration). No call of the API asks for them.

Their messages are JSON, as a text: the types of other messages are those that callers see.
"""

import uuid
from collections.abc import Sequence
from typing import Annotated, ClassVar, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from shared.jobs import FacedbJob, Job

PAGE: Final = 100
"""Persons that one job looks at: some hundred look-ups, a few milliseconds each on a server."""

MOST_CANDIDATES: Final = 1000
"""Most persons that a photo may be said to show one of."""

Position = tuple[Annotated[int, Field(ge=0)], uuid.UUID]
"""As in worker/store/base.py."""


class _Result(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class MigrationPlan(_Result):
    """What a migration would do. identity: of the embeddings that are searched; None: the facedb has no face. target:
    of those that new facedbs get. persons: how many there are.
    """

    identity: str | None
    target: str
    persons: int


class PlanMigrationJob(FacedbJob):
    """Tell from which model to which a facedb would be migrated. Its message is a MigrationPlan."""

    task: ClassVar[str] = "facesearch.plan_migration"


class MigratePhotoJob(FacedbJob):
    """Embed the faces of an image with the new model, and add those of persons whose stored face they are alike to.

    persons: of whom it may show one or more; none: of anybody. least: the least confidence, by the former model, with
    which a face counts as a stored one's. Its message is a MigratedPhoto.
    """

    task: ClassVar[str] = "facesearch.migrate_photo"

    persons: Annotated[list[uuid.UUID], Field(max_length=MOST_CANDIDATES)]
    least: Annotated[float, Field(ge=0, le=100)]


class MigratedPhoto(_Result):
    """faces: that were added, or had been: the person and the face of each."""

    faces: Sequence[tuple[uuid.UUID, uuid.UUID]]


class ReconcileJob(FacedbJob):
    """Look at PAGE persons after a position, oldest first, and mend what differs between both models' collections.

    side: "current" for the persons that are searched, whose attributes the others get; "other" for the others, of whom
    those go that are not searched. Its message is a Reconciled.
    """

    task: ClassVar[str] = "facesearch.reconcile"

    side: Literal["current", "other"]
    after: Position | None = None


class SeenPerson(_Result):
    """A person that is searched. faces: how many it has. migrated: how many of these the other model has."""

    person_id: uuid.UUID
    name: str
    external_id: str | None
    faces: int
    migrated: int


class Reconciled(_Result):
    """persons: that were looked at, of the current ones. changed: how many were mended. next: the position to go on
    after; None at the end.
    """

    persons: Sequence[SeenPerson]
    changed: int
    next: Position | None


class CompareModelsJob(FacedbJob):
    """Search for the most prominent face of the image with both models. Its message is a ComparedPhoto."""

    task: ClassVar[str] = "facesearch.compare_models"


class BestMatches(_Result):
    """person: of the best match that reaches 80, None without one. others: whether a second person reaches 80."""

    person: uuid.UUID | None
    others: bool


class ComparedPhoto(_Result):
    """How the searches with the model that is searched, and with the other one, ended."""

    current: BestMatches
    other: BestMatches


MIGRATION_JOBS: Final[Sequence[type[Job]]] = (PlanMigrationJob, MigratePhotoJob, ReconcileJob, CompareModelsJob)
