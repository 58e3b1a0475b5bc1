"""What workers do while a facedb is migrated to another model: jobs on a store in memory, with a real broker."""

import json
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from redis import Redis as BlockingRedis
from redis.asyncio import Redis

from every_store import faces_in
from shared.contract import FACE_DELETED, Status
from shared.control import DEFAULT, Control, Facedb, Migration
from shared.control.migrations import Stored
from shared.jobs import (
    AddJob,
    DeleteFaceJob,
    DeleteJob,
    Job,
    SearchJob,
    UpdatePersonJob,
    image_key,
    new_gateway_id,
    new_job_id,
)
from shared.jobs import new_request_id as new_id
from shared.migration_jobs import CompareModelsJob, MigratePhotoJob, PlanMigrationJob, ReconcileJob
from shared.observability.tracing import NoTraces
from table_faces import TableFaces
from worker import actions
from worker.ledger import Ledger
from worker.metrics import Metrics
from worker.migration_actions import MIGRATION_ACTIONS
from worker.migrations import Migrations
from worker.models.calibration import SFACE
from worker.models.identity import Identity
from worker.models.spaces import Spaces
from worker.models.versions import Preprocessing
from worker.runtime import Runtime
from worker.store.base import Face, Point, Store, StoreUnavailable
from worker.store.memory import MemoryStore
from worker.store.migrated import MigratedStore, put_face
from worker.tasks import perform
from worker.upkeep.leftovers import Leftovers
from worker.upkeep.sweeper import Sweeper

OLD, NEW = (Identity("test", "0" * 64, version, 4) for version in (3, 4))
WAYS = {OLD: Preprocessing(3), NEW: Preprocessing(4)}


class Breakable(MemoryStore):
    """A store of which the collections named in `broken` cannot be written."""

    broken: frozenset[str] = frozenset()

    def add(self, collection: str, points: Any) -> None:
        if collection in Breakable.broken:
            raise StoreUnavailable("broken")
        super().add(collection, points)


@dataclass
class Scene:
    """A worker that has both models and prefers the new one, and a facedb of the old one."""

    control: Control
    facedb: Facedb
    ledger: Ledger
    store: Breakable = field(default_factory=lambda: Breakable(NEW))

    def __post_init__(self) -> None:
        def migrations() -> Mapping[str, Migration]:
            return Migrations(self.ledger.redis)()  # read each time: no test waits until a worker reads again

        self.runtime = Runtime(
            TableFaces(),
            SFACE,
            MigratedStore(self.store, migrations),
            self.ledger,
            Spaces(WAYS, [NEW, OLD]),
            Metrics(NoTraces()),
            3,
            migrations=migrations,
            stored_under_their_names=self.store,
        )

    def do(self, kind: type[Job], image: bytes | None = None, **fields: Any) -> Any:
        """Do a job, and return its outcome."""
        job_id = new_job_id(new_gateway_id(), new_id())
        if image is not None:
            self.ledger.images.set(image_key(job_id), image)
        job = kind.model_validate(
            {"job_id": job_id, "collection": self.facedb.collection, "deadline": time.time() + 60, **fields}
        )
        action = {**actions.ACTIONS, **MIGRATION_ACTIONS}[kind]
        return perform(job, action, self.runtime)

    def done(self, kind: type[Job], image: bytes | None = None, **fields: Any) -> Any:
        outcome = self.do(kind, image, **fields)
        assert outcome.status is Status.OK, outcome
        is_json = kind in MIGRATION_ACTIONS
        return json.loads(outcome.message) if is_json else outcome.message

    def add(self, image: bytes, **fields: Any) -> list[uuid.UUID]:
        return [uuid.UUID(face["person_id"]) for face in self.done(AddJob, image, **{"name": "x", **fields})]

    def names(self, image: bytes) -> set[str]:
        outcome = self.do(SearchJob, image)
        return {match["name"] for match in outcome.message} if outcome.status is Status.OK else set()

    async def stored(self) -> list[dict[uuid.UUID, tuple[str, bytes]]]:
        """Return what both collections have: first what is searched."""
        return [
            {point.person_id: (point.name, point.vector.tobytes()) for point in store.points(side.name)}
            for store, side in await self.sides()
        ]

    async def sides(self) -> list[tuple[Store, Stored]]:
        """Return both collections with the store under the identity of each: first what is searched."""
        migration = await self.control.migration(DEFAULT, self.facedb.name)
        sides = (migration.current, migration.other)
        return [(self.store.under(Identity.parse(side.identity)), side) for side in sides]

    def fill(self, image: bytes) -> uuid.UUID:
        """Add the first face of an image as a worker of the old model did."""
        point = Point(uuid.uuid4(), chr(image[0]), TableFaces.vector(image[0], 3), time.time_ns() // 1000 - 10**9)
        self.store.under(OLD).add(self.facedb.collection, [point])
        return point.person_id

    async def begin(self) -> None:
        await self.control.begin_migration(DEFAULT, self.facedb.name, str(OLD), str(NEW), "test")


@pytest.fixture
async def scene(valkey_url: str) -> AsyncIterator[Scene]:
    Breakable.broken = frozenset()
    with BlockingRedis.from_url(valkey_url) as blocking:
        async with Redis.from_url(valkey_url) as redis:
            control = Control(redis, drop_after_s=0)
            await control.create_tenant(DEFAULT)
            yield Scene(control, await control.create_facedb(DEFAULT, "staff"), Ledger(blocking, blocking))


async def test_what_would_be_migrated_is_told_before(scene: Scene) -> None:
    assert scene.done(PlanMigrationJob) == {"identity": None, "target": str(NEW), "persons": 0}
    scene.fill(b"a")
    assert scene.done(PlanMigrationJob) == {"identity": str(OLD), "target": str(NEW), "persons": 1}


async def test_photos_of_stored_persons_fill_the_new_collection_and_a_switch_searches_it(scene: Scene) -> None:
    first, second = scene.fill(b"a"), scene.fill(b"b")
    await scene.begin()
    done = scene.done(MigratePhotoJob, b"zab", persons=[str(first)], least=80)
    assert done["faces"] == [[str(first), str(first)]]
    assert scene.done(MigratePhotoJob, b"b", persons=[], least=97)["faces"] == [[str(second), str(second)]]
    current, other = await scene.stored()
    assert current.keys() == other.keys() == {first, second}
    assert other[first] == ("a", TableFaces.vector(ord("a"), 4).tobytes())
    assert scene.names(b"a") == {"a"}
    await scene.control.switch_migration(DEFAULT, "staff", "test")
    assert scene.names(b"a") == {"a"}
    assert scene.runtime.store.identity_of(scene.facedb.collection) == NEW
    await scene.control.roll_migration_back(DEFAULT, "staff", "test")
    assert scene.runtime.store.identity_of(scene.facedb.collection) == OLD
    assert scene.names(b"b") == {"b"}


async def test_a_photo_of_somebody_else_fills_nothing(scene: Scene) -> None:
    person = scene.fill(b"a")
    scene.fill(b"b")
    await scene.begin()
    for image in (b"z", b"b"):
        outcome = scene.do(MigratePhotoJob, image, persons=[str(person)], least=97)
        assert outcome.status is Status.PERSON_ID_NOT_EXIST
    assert (await scene.stored())[1] == {}


async def test_adds_changes_and_deletions_go_to_both(scene: Scene) -> None:
    scene.fill(b"a")
    await scene.begin()
    for step in ("filling", "switched"):
        added, gone = scene.add(b"cd")
        largest = scene.add(b"ef", faces="largest")[0]
        scene.done(UpdatePersonJob, person_id=str(added), name=step)
        assert scene.done(DeleteJob, person_id=str(gone)) == FACE_DELETED
        assert scene.do(DeleteJob, person_id=str(gone)).status is Status.PERSON_ID_NOT_EXIST
        for side in await scene.stored():
            assert side[added][0] == step
            assert largest in side
            assert gone not in side
        if step == "filling":
            await scene.control.switch_migration(DEFAULT, "staff", "test")


async def test_faces_of_a_person_are_added_and_deleted_in_both(scene: Scene) -> None:
    scene.fill(b"a")
    await scene.begin()
    (person,) = scene.add(b"c")
    scene.add(b"d", name="renamed", person_id=str(person))
    for store, side in await scene.sides():
        (point,) = store.get(side.name, [person])
        assert (point.name, len(point.faces)) == ("renamed", 2)
    (second,) = {face.face_id for face in point.faces} - {person}
    for face in (person, second):
        assert scene.done(DeleteFaceJob, person_id=str(person), face_id=str(face)) == FACE_DELETED
        (_, (store, side)) = await scene.sides()
        counts = {faces_in(store, side.name)}
        assert counts == ({1} if face == person else {0})
    for side in await scene.stored():
        assert person not in side


async def test_an_add_is_answered_although_the_other_collection_cannot_be_written(scene: Scene) -> None:
    scene.fill(b"a")
    await scene.begin()
    migration = await scene.control.migration(DEFAULT, "staff")
    Breakable.broken = frozenset({migration.other.name})
    (added,) = scene.add(b"c", name="c")
    Breakable.broken = frozenset()
    assert scene.names(b"c") == {"c"}
    (_, missing) = scene.done(ReconcileJob, side="current")["persons"]
    assert (missing["person_id"], missing["faces"], missing["migrated"]) == (str(added), 1, 0)


async def test_a_reconciliation_removes_who_was_deleted_and_carries_attributes_over(scene: Scene) -> None:
    kept, orphan = scene.fill(b"a"), uuid.uuid4()
    await scene.begin()
    scene.done(MigratePhotoJob, b"a", persons=[], least=97)
    migration = await scene.control.migration(DEFAULT, "staff")
    scene.store.under(NEW).add(migration.other.name, [Point(orphan, "gone", TableFaces.vector(ord("q"), 4), 1)])
    scene.store.under(OLD).update(migration.current.name, kept, {"name": "renamed", "external_id": "7"})
    assert scene.done(ReconcileJob, side="other")["changed"] == 2
    assert scene.done(ReconcileJob, side="current")["changed"] == 0
    other = scene.store.under(NEW)
    assert [(p.person_id, p.name, p.external_id) for p in other.page(migration.other.name, None, 9)] == [
        (kept, "renamed", "7")
    ]


async def test_a_reconciliation_after_a_switch_keeps_who_was_left_behind(scene: Scene) -> None:
    left = scene.fill(b"a")
    await scene.begin()
    await scene.control.switch_migration(DEFAULT, "staff", "test")
    assert scene.done(ReconcileJob, side="other")["changed"] == 0
    assert left in (await scene.stored())[1]


async def test_a_face_that_was_deleted_goes_from_the_other_collection_and_the_person_stays(scene: Scene) -> None:
    person = scene.fill(b"a")
    await scene.begin()
    scene.done(MigratePhotoJob, b"a", persons=[], least=97)
    migration = await scene.control.migration(DEFAULT, "staff")
    (point,) = scene.store.under(NEW).get(migration.other.name, [person])
    put_face(scene.store.under(NEW), migration.other.name, point, Face(uuid.uuid4(), TableFaces.vector(ord("q"), 4)))
    assert scene.done(ReconcileJob, side="current")["changed"] == 1
    assert faces_in(scene.store.under(NEW), migration.other.name) == 1
    assert person in (await scene.stored())[1]


async def test_each_face_of_a_person_is_migrated_by_a_photo_of_its_own(scene: Scene) -> None:
    person = scene.fill(b"a")
    store, second = scene.runtime.store.under(OLD), Face(uuid.uuid4(), TableFaces.vector(ord("c"), 3), 5)
    (point,) = store.get(scene.facedb.collection, [person])
    put_face(store, scene.facedb.collection, point, second)
    await scene.begin()
    for image, migrated in ((b"a", 1), (b"c", 2)):
        scene.done(MigratePhotoJob, image, persons=[str(person)], least=20)
        (seen,) = scene.done(ReconcileJob, side="current")["persons"]
        assert (seen["faces"], seen["migrated"]) == (2, migrated)
    migration = await scene.control.migration(DEFAULT, "staff")
    (point,) = scene.store.under(NEW).get(migration.other.name, [person])
    vectors = {face.face_id: face.vector.tobytes() for face in point.faces}
    assert vectors == {
        person: TableFaces.vector(ord("a"), 4).tobytes(),
        second.face_id: TableFaces.vector(ord("c"), 4).tobytes(),
    }


async def test_a_person_deleted_while_its_face_is_added_to_the_other_collection_does_not_stay(scene: Scene) -> None:
    person = scene.fill(b"a")
    await scene.begin()
    migration = await scene.control.migration(DEFAULT, "staff")

    class DeletedMeanwhile(Breakable):
        def add(self, collection: str, points: Any) -> None:
            super().add(collection, points)
            if collection == migration.other.name:
                self.under(OLD).delete(migration.current.name, person)

    scene.store.__class__ = DeletedMeanwhile
    scene.done(MigratePhotoJob, b"a", persons=[], least=97)
    assert await scene.stored() == [{}, {}]


async def test_both_models_are_compared(scene: Scene) -> None:
    person = scene.fill(b"a")
    await scene.begin()
    none = {"person": None, "others": False}
    assert scene.done(CompareModelsJob, b"a") == {"current": {"person": str(person), "others": False}, "other": none}
    scene.done(MigratePhotoJob, b"a", persons=[], least=97)
    found = {"person": str(person), "others": False}
    assert scene.done(CompareModelsJob, b"a") == {"current": found, "other": found}


async def test_without_a_migration_the_jobs_of_one_fail(scene: Scene) -> None:
    scene.fill(b"a")
    assert scene.do(MigratePhotoJob, b"a", persons=[], least=97).status is Status.FAIL
    assert scene.do(ReconcileJob, side="current").status is Status.FAIL


async def test_what_is_given_up_is_removed_and_the_rest_is_searched(scene: Scene) -> None:
    scene.fill(b"a")
    await scene.begin()
    scene.done(MigratePhotoJob, b"a", persons=[], least=97)
    await scene.control.switch_migration(DEFAULT, "staff", "test")
    await scene.control.end_migration(DEFAULT, "staff", "switched", "test")
    former, new = scene.facedb.collection, (await scene.control.migration(DEFAULT, "staff")).current.name
    assert scene.store.collections() == sorted((former, new))
    scene.add(b"b", name="b")
    Leftovers(scene.ledger.redis, scene.store).sweep()
    assert scene.store.collections() == [new]
    assert scene.runtime.store.collections() == [former]
    assert scene.names(b"a") == {"a"}
    assert scene.names(b"b") == {"b"}
    again = await scene.control.begin_migration(DEFAULT, "staff", str(OLD), str(NEW), "test")
    assert (again.current.name, again.other.name) != (new, new)


async def test_a_facedb_that_is_dropped_goes_with_both_collections(scene: Scene) -> None:
    scene.fill(b"a")
    await scene.begin()
    scene.done(MigratePhotoJob, b"a", persons=[], least=97)
    await scene.control.drop_facedb(DEFAULT, "staff")
    Sweeper(scene.ledger, scene.runtime.store).sweep()
    assert scene.store.collections() == []
    assert not scene.ledger.redis.exists("fs:migrations")
