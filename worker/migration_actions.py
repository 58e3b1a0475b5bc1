"""The actions of jobs of a migration (shared/migration_jobs.py), and what an add does while there is one.

Every write keeps both collections of a facedb alike: deletions and changes of attributes go to both
(worker/store/migrated.py), and an add embeds its faces with both models. What is written to the collection that is not
searched is no promise to a caller. So a failure there is logged and leaves a person missing in it, which a migration
reports.

A person that is deleted while its face is added to that collection must not stay there. So who adds a face there looks
afterwards whether the person is still searched, and a deletion removes the person where it is searched first: one of
the two sees the other. A worker that is killed in between leaves a face there that the next reconciliation removes.
"""

import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

import numpy as np
import structlog

from shared.contract import MAX_MATCHES, MIN_CONFIDENCE
from shared.control import DROP_AFTER_S
from shared.control.migrations import Stored
from shared.errors import ContractError, PersonUnknown, Unavailable
from shared.jobs import FacedbJob, Job
from shared.migration_jobs import (
    PAGE,
    BestMatches,
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
from worker.delivery.deadline import require_time
from worker.models.calibration import Calibration
from worker.models.identity import Identity
from worker.models.versions import Preprocessing
from worker.photos import image_of
from worker.runtime import Runtime
from worker.store.base import Changes, Point, Store, StoreError, Vector
from worker.store.base import Face as StoredFace
from worker.store.faces import faces_of
from worker.store.migrated import point_of, put_face, remove_faces
from worker.vision.service import Face, FaceSelection

log = structlog.stdlib.get_logger(__name__)

SAME: Final = 1e-4
"""Difference of cosines within which several stored faces count as of the same photo."""


class _Side:
    """One of both collections of a facedb: the store under its identity, and how its faces are embedded."""

    def __init__(self, runtime: Runtime, collection: str, stored: Stored) -> None:
        """Raises Unavailable if this worker does not have the model."""
        parsed = Identity.parse(stored.identity)
        if parsed not in runtime.spaces.preprocessings:
            raise Unavailable(f"this worker does not have {parsed.model}, which the migration of {collection} needs")
        self.way: Preprocessing = runtime.spaces.preprocessings[parsed]
        self.store: Store = runtime.store.under(parsed)
        self.calibration: Calibration = runtime.own_calibrations.of(
            collection, None, stored.identity, runtime.calibration
        )
        self.alone, self.name = runtime.stored.under(parsed), stored.name

    def remove(self, person_id: uuid.UUID) -> None:
        """Remove a person from this collection alone."""
        self.alone.delete(self.name, person_id)


class Numbered(FaceSelection):
    """Selects the faces with these numbers."""

    def __init__(self, job: Job, numbers: Sequence[int] | None = None) -> None:
        """numbers: None for all."""
        self._job = job
        self._numbers = numbers

    def candidates(self, sizes: Sequence[float]) -> Sequence[int]:
        return [number for number in range(len(sizes)) if self._numbers is None or number in self._numbers]

    def before_batch(self, cpu_s: float) -> None:  # noqa: ARG002 -- the interface's
        require_time(self._job)


def plan(job: PlanMigrationJob, runtime: Runtime) -> str:
    """Tell from which model to which the facedb would be migrated."""
    identity = runtime.store.identity_of(job.collection)
    return MigrationPlan(
        identity=None if identity is None else str(identity),
        target=str(runtime.spaces.preferred),
        persons=runtime.store.count(job.collection),
    ).model_dump_json()


def migrate_photo(job: MigratePhotoJob, runtime: Runtime) -> str:
    """Add the faces of the image whose stored face the former model finds. Raises PersonUnknown if it finds none."""
    current, other = _sides(job, runtime)
    image = image_of(job, runtime)
    wanted = set(job.persons)
    found: dict[tuple[uuid.UUID, uuid.UUID], tuple[float, int]] = {}
    least = current.calibration.cosine(job.least)
    for face in runtime.faces.embed_all(image, Numbered(job), preprocessing=current.way):
        matches = current.store.search(job.collection, face.vector, MAX_MATCHES, least)
        shown = [match for match in matches if not wanted or match.person_id in wanted]
        # Several persons may have been added with one photo; others are only like this one.
        alike = [match.person_id for match in shown if match.cosine >= shown[0].cosine - SAME]
        for person in current.store.get(job.collection, alike):
            nearest = max(faces_of(person), key=lambda stored: float(np.dot(stored.vector, face.vector)))
            cosine, key = float(np.dot(nearest.vector, face.vector)), (person.person_id, nearest.face_id)
            if cosine > found.get(key, (-2.0, 0))[0]:
                found[key] = (cosine, face.number)
    if not found:
        raise PersonUnknown
    numbers = sorted({number for _, number in found.values()})
    embedded = runtime.faces.embed_all(image, Numbered(job, numbers), preprocessing=other.way)
    vectors = {face.number: face.vector for face in embedded}
    require_time(job)
    for (person_id, face_id), (_, number) in found.items():
        for person in current.store.get(job.collection, [person_id]):  # or it is deleted meanwhile
            for stored in faces_of(person):
                if stored.face_id == face_id:
                    migrated = replace(stored, vector=vectors[number])
                    _add_to_other(job.collection, person, migrated, current.store, other)
    return MigratedPhoto(faces=list(found)).model_dump_json()


def reconcile(job: ReconcileJob, runtime: Runtime) -> str:
    """Mend what differs for the persons of a page."""
    current, other = _sides(job, runtime)
    page = (current if job.side == "current" else other).store.page(job.collection, job.after, PAGE)
    ids = [person.person_id for person in page]
    # The other one first: what is added is added there last.
    theirs, points = (
        {point.person_id: point for point in side.store.get(job.collection, ids)} for side in (other, current)
    )
    require_time(job)
    removable_from = _removable_from(job, runtime)
    persons, changed = [], 0
    for person_id, point in theirs.items():
        searched = points.get(person_id)
        if removable_from is not None and (point.added or 0) >= removable_from:
            deleted = _face_ids(point) - _face_ids(searched)
            changed += bool(deleted)
            remove_faces(other.alone, other.name, person_id, deleted)
        if searched is not None and _attributes(point) != _attributes(searched):
            other.store.update(job.collection, person_id, _attributes(searched))
            changed += 1
    for person_id in ids if job.side == "current" else ():
        if person_id in points:  # else it is deleted meanwhile
            found, ours = points[person_id], _face_ids(points[person_id])
            migrated = len(ours & _face_ids(theirs.get(person_id)))
            persons.append(
                SeenPerson(
                    person_id=person_id,
                    name=found.name,
                    external_id=found.external_id,
                    faces=len(ours),
                    migrated=migrated,
                )
            )
    following = page[-1].position if len(page) == PAGE else None
    return Reconciled(persons=persons, changed=changed, next=following).model_dump_json()


def compare_models(job: CompareModelsJob, runtime: Runtime) -> str:
    """Search for the most prominent face with both models."""
    current, other = _sides(job, runtime)
    image = image_of(job, runtime)

    def best(side: _Side) -> BestMatches:
        face = runtime.faces.embed_most_prominent(image, preprocessing=side.way)
        least = side.calibration.cosine(MIN_CONFIDENCE)
        matches = side.store.search(job.collection, face.vector, 2, least)
        return BestMatches(person=matches[0].person_id if matches else None, others=len(matches) > 1)

    return ComparedPhoto(current=best(current), other=best(other)).model_dump_json()


class OtherModel:
    """The faces of an add for the collection that is not searched. Without a migration it does nothing.

    It embeds before the add writes, so that the add ends as soon as it has written. A failure is logged.
    """

    def __init__(
        self, job: FacedbJob, runtime: Runtime, store: Store, embed: Callable[[Preprocessing], Sequence[Face]]
    ) -> None:
        """store: under the identity with which the add writes. embed: embeds the faces of the add in another way."""
        self._job, self._current = job, store
        self._vectors: dict[int, Vector] = {}
        self._other: _Side | None = None
        with self._logged():
            other = _other_side(job.collection, runtime, str(store.identity))
            if other is not None:
                self._vectors = {face.number: face.vector for face in embed(other.way)}
                self._other = other

    def add(self, points: Mapping[int, Point]) -> None:
        """Add what the add has written, with the other model's vectors. points: the person of each face, with that
        face alone, by the number of the face.
        """
        if self._other is None:
            return
        with self._logged():
            for number, point in points.items():
                if number in self._vectors:
                    (face,) = faces_of(point)
                    migrated = replace(face, vector=self._vectors[number])
                    _add_to_other(self._job.collection, point, migrated, self._current, self._other)

    @contextmanager
    def _logged(self) -> Iterator[None]:
        try:
            yield
        except (ContractError, StoreError, MemoryError) as error:
            reason = error.reason if isinstance(error, Unavailable) else str(error)
            log.warning("add_not_migrated", collection=self._job.collection, reason=reason)


def _add_to_other(collection: str, person: Point, face: StoredFace, current: Store, other: _Side) -> None:
    """Add a face to the collection that is not searched, unless it is deleted meanwhile. person: its attributes. face:
    with the vector of the other model.
    """
    put_face(other.store, collection, person, face)
    there = point_of(current, collection, person.person_id)
    if there is None:
        other.remove(person.person_id)
    elif face.face_id not in _face_ids(there):
        remove_faces(other.alone, other.name, person.person_id, {face.face_id})


def _sides(job: FacedbJob, runtime: Runtime) -> tuple[_Side, _Side]:
    """Return what is searched, and the other. Raises Unavailable if the facedb is not being migrated."""
    migration = runtime.migrations().get(job.collection)
    if migration is None or migration.other is None:
        raise Unavailable("the facedb is not being migrated")
    return _Side(runtime, job.collection, migration.current), _Side(runtime, job.collection, migration.other)


def _other_side(collection: str, runtime: Runtime, ours: str) -> _Side | None:
    """Return the one of both collections of a facedb whose identity is not ours; None without a migration."""
    migration = runtime.migrations().get(collection)
    if migration is None or migration.other is None:
        return None
    return _Side(runtime, collection, migration.current if migration.other.identity == ours else migration.other)


def _removable_from(job: FacedbJob, runtime: Runtime) -> float | None:
    """Return the time of adding, in microseconds since 1970, from which persons of the other collection go if they are
    not searched; None: none does now.

    Jobs that began before a switch write to what is searched last. And who was there before a switch may have been left
    behind by it, and must be there after a rollback.
    """
    migration = runtime.migrations().get(job.collection)
    swapped = None if migration is None or migration.swapped is None else migration.swapped.timestamp()
    if swapped is None:
        return 0.0
    if time.time() < swapped + DROP_AFTER_S:
        return None
    return swapped * 1e6 if migration is not None and migration.state == "switched" else 0.0


def _face_ids(point: Point | None) -> set[uuid.UUID]:
    return set() if point is None else {face.face_id for face in faces_of(point)}


def _attributes(point: Point) -> Changes:
    return {"name": point.name, "external_id": point.external_id, "metadata": point.metadata}


MIGRATION_ACTIONS: Final[Mapping[type[Job], Callable[[Any, Runtime], str]]] = {
    PlanMigrationJob: plan,
    MigratePhotoJob: migrate_photo,
    ReconcileJob: reconcile,
    CompareModelsJob: compare_models,
}
