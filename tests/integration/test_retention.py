"""Faces that are older than their facedb keeps them are deleted, as by a caller, and nothing else is."""

import json
import time
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import structlog
from click.testing import CliRunner, Result
from redis import Redis as BlockingRedis
from redis.asyncio import Redis

from contract.tenants import new_tenant
from facesearch.cli.main import main
from homes import Home, done, faces
from portraits import hopper_jpeg
from processes import wait_for
from service import UNHURRIED, Service
from shared.contract import Status
from shared.control import DEFAULT, Conflict, Control, Unknown
from shared.control.layout import DROP_AFTER_S, facedb_key, retention_key
from shared.control.records import DAY_S
from shared.control.retentions import ERASE, ERASE_AFTER_S, TURN
from shared.errors import OperatorError
from shared.jobs import AddJob, image_key, new_gateway_id, new_job_id, new_request_id
from shared.observability.tracing import NoTraces
from spaces import only
from table_faces import TableFaces
from worker import actions
from worker.ledger import Ledger
from worker.metrics import Metrics
from worker.models.calibration import SFACE
from worker.models.identity import Identity
from worker.runtime import Runtime
from worker.store.base import PAGE, Face, Point, Store, StoreUnavailable
from worker.store.faces import with_faces
from worker.store.memory import MemoryStore
from worker.tasks import perform
from worker.upkeep import retention
from worker.upkeep.retention import LEASE_S, PASS_EVERY_S, RETRY_S, RetentionSweeper

SPACE = Identity("test", "0" * 64, 1, 4)
ME = "somebody"


class Watched(MemoryStore):
    """A store that notes whose faces go, and compactions, calls `before` each deletion, and can be away."""

    def __init__(self) -> None:
        super().__init__(SPACE)
        self.deleted: list[uuid.UUID] = []
        self.compacted: list[str] = []
        self._hooks: list[Callable[[], None]] = [lambda: None]  # shared with the views of the store
        self.away: set[str] = set()

    @property
    def before(self) -> Callable[[], None]:
        return self._hooks[-1]

    @before.setter
    def before(self, hook: Callable[[], None]) -> None:
        self._hooks.append(hook)

    def replace(self, collection: str, read: Point, new: Point | None) -> None:
        self.before()
        if collection in self.away:
            raise StoreUnavailable("the disk is away")
        super().replace(collection, read, new)
        self.deleted.append(read.person_id)

    def compact(self, collection: str, rest: Callable[[], None]) -> bool:
        rest()
        self.compacted.append(collection)
        return True


class Later(RetentionSweeper):
    """A sweeper on another day. days: how many have passed."""

    days = 0.0

    def _now(self) -> float:
        return super()._now() + self.days * DAY_S


@dataclass
class Scene:
    """A facedb, a store, and a worker's sweeper."""

    control: Control
    ledger: Ledger
    collection: str
    store: Watched = field(default_factory=Watched)

    def __post_init__(self) -> None:
        metrics = Metrics(NoTraces())
        self.runtime = Runtime(TableFaces(), SFACE, self.store, self.ledger, only(SPACE), metrics, 3)

    def counted(self) -> float:
        """Return how many faces the metrics have counted."""
        return self.runtime.metrics.registry.get_sample_value("facesearch_retention_faces_total") or 0

    def sweeper(self, days: float = 0) -> Later:
        sweeper = Later(self.runtime)
        sweeper.days = days
        return sweeper

    def sweep(self, days: float = 0) -> None:
        """Make a pass now, as the next worker to take a turn."""
        self.ledger.redis.delete(TURN)
        self.sweeper(days).poll()

    def add(self, *ages: float | None, collection: str | None = None) -> list[uuid.UUID]:
        """Add faces of these ages in days, None without a time, and return their ids."""
        now = time.time()
        times = [None if age is None else int((now - age * DAY_S) * 1e6) for age in ages]
        points = [Point(uuid.uuid4(), "x", np.eye(4, dtype=np.float32)[0], added) for added in times]
        self.store.add(collection or self.collection, points)
        return [point.person_id for point in points]

    def left(self, collection: str | None = None) -> set[uuid.UUID]:
        return {point.person_id for point in self.store.points(collection or self.collection)}

    def turn_s(self) -> int:
        return self.ledger.redis.ttl(TURN)


@pytest.fixture
async def scene(valkey_url: str) -> AsyncIterator[Scene]:
    with BlockingRedis.from_url(valkey_url) as blocking:
        async with Redis.from_url(valkey_url) as redis:
            control = Control(redis)
            await control.create_tenant(DEFAULT)
            facedb = await control.default_facedb(DEFAULT)
            assert facedb is not None
            yield Scene(control, Ledger(blocking, blocking), facedb.collection)


class TestPass:
    async def test_old_faces_go_oldest_first_and_others_stay(self, scene: Scene) -> None:
        await scene.control.set_retention(DEFAULT, DEFAULT, 30, ME)
        other = (await scene.control.create_facedb(DEFAULT, "other")).collection
        scene.add(99, collection=other)
        ages = [31 + n / 10 for n in range(2 * PAGE)]
        old, young = scene.add(*ages), scene.add(29.9, 0)
        with structlog.testing.capture_logs() as logs:
            scene.sweep()
        assert scene.left() == set(young)
        assert len(scene.left(other)) == 1
        assert scene.store.deleted == old[::-1]
        assert scene.counted() == len(old)
        assert scene.turn_s() > PASS_EVERY_S - LEASE_S
        assert [line for line in logs if line["event"] == "old_faces_removed"] == [
            {"event": "old_faces_removed", "log_level": "info", "collection": scene.collection, "count": len(old)}
        ]

    async def test_persons_without_a_time_are_as_old_as_the_retention(self, scene: Scene) -> None:
        untimed, old = scene.add(None, None), scene.add(40)
        await scene.control.set_retention(DEFAULT, DEFAULT, 30, ME)
        scene.sweep(days=29.9)
        assert scene.left() == set(untimed)
        assert scene.store.deleted == old
        await scene.control.set_retention(DEFAULT, DEFAULT, 60, ME)
        scene.sweep(days=59.9)
        assert scene.left() == set(untimed)
        scene.sweep(days=60.1)
        assert scene.left() == set()

    async def test_a_repeated_add_does_not_bring_a_face_back(self, scene: Scene) -> None:
        await scene.control.set_retention(DEFAULT, DEFAULT, 1, ME)
        job_id = new_job_id(new_gateway_id(), new_request_id())
        job = AddJob(job_id=job_id, collection=scene.collection, deadline=time.time() + 60, name="x")
        scene.ledger.images.set(image_key(job_id), b"i")
        assert perform(job, actions.add, scene.runtime).status is Status.OK
        scene.sweep(days=1.1)
        assert scene.left() == set()
        assert perform(job, actions.add, scene.runtime).status is Status.OK
        assert scene.left() == set()

    async def test_a_face_that_is_being_written_or_deleted_is_left_alone(self, scene: Scene) -> None:
        await scene.control.set_retention(DEFAULT, DEFAULT, 30, ME)
        written, deleted, old = scene.add(40, 39, 38)
        job_id = new_job_id(new_gateway_id(), new_request_id())
        job = AddJob(job_id=job_id, collection=scene.collection, deadline=time.time() + 60, name="x")
        scene.ledger.begin_adding(job, [written])
        another = f"{new_request_id()} {int(time.time()) + 60}"
        scene.ledger.redis.set(f"fs:deletion:{scene.collection}:{deleted}:face", another)
        scene.sweep()
        assert scene.store.deleted == [old]
        scene.ledger.end_adding(job, [written])
        scene.sweep()
        assert scene.left() == {deleted}

    async def test_what_a_killed_worker_left_goes_in_the_next_pass(self, scene: Scene) -> None:
        await scene.control.set_retention(DEFAULT, DEFAULT, 30, ME)
        old = scene.add(*range(40, 40 + 2 * PAGE))

        def killed() -> None:
            if len(scene.store.deleted) == PAGE + 1:
                raise KeyboardInterrupt

        scene.store.before = killed
        with pytest.raises(KeyboardInterrupt):
            scene.sweeper().poll()
        assert 0 < scene.turn_s() <= LEASE_S
        scene.store.before = lambda: None
        scene.sweep()  # once the turn of the killed one is over
        # It claimed the deletion that it did not make, and the claim excludes others for some seconds.
        assert len(scene.left()) == 1
        scene.ledger.redis.delete(*scene.ledger.redis.keys("fs:deletion:*"))
        scene.sweep()
        assert sorted(scene.store.deleted) == sorted(old)

    async def test_one_worker_at_a_time_makes_a_pass(self, scene: Scene) -> None:
        await scene.control.set_retention(DEFAULT, DEFAULT, 30, ME)
        scene.add(40)
        second = scene.sweeper()
        scene.store.before = second.poll  # while the first one works
        scene.sweeper().poll()
        second.poll()
        assert len(scene.store.deleted) == 1

    async def test_a_change_ends_a_pass(self, scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(retention, "RENEW_EVERY_S", 0)
        await scene.control.set_retention(DEFAULT, DEFAULT, 30, ME)
        scene.add(*range(40, 40 + 3 * PAGE))

        def change() -> None:  # by another process
            scene.ledger.redis.delete(retention_key(DEFAULT, DEFAULT), TURN)

        scene.store.before = change
        scene.sweeper().poll()
        assert len(scene.store.deleted) == 1

    async def test_a_facedb_that_fails_stops_no_other_and_is_tried_again_sooner(self, scene: Scene) -> None:
        collections = [(await scene.control.create_facedb(DEFAULT, name)).collection for name in ("a", "b", "c")]
        for name, collection in zip(("a", "b", "c"), collections, strict=True):
            await scene.control.set_retention(DEFAULT, name, 30, ME)
            scene.add(40, collection=collection)
        scene.store.away = {collections[1]}
        scene.sweep()
        assert [len(scene.left(collection)) for collection in collections] == [0, 1, 0]
        assert LEASE_S < scene.turn_s() <= RETRY_S
        failures = scene.runtime.metrics.registry.get_sample_value("facesearch_retention_failures_total")
        assert failures == 1
        scene.store.away = set()
        scene.sweep()
        assert scene.left(collections[1]) == set()

    @pytest.mark.parametrize("ahead_s", [-1e8, 1e8], ids=["behind", "ahead"])
    async def test_a_wrong_clock_deletes_nothing(
        self, scene: Scene, monkeypatch: pytest.MonkeyPatch, ahead_s: float
    ) -> None:
        await scene.control.set_retention(DEFAULT, DEFAULT, 30, ME)
        scene.add(1)
        wrong = SimpleNamespace(time=lambda: time.time() + ahead_s, monotonic=time.monotonic)
        monkeypatch.setattr(retention, "time", wrong)
        scene.sweep()
        assert scene.store.deleted == []

    async def test_a_face_goes_alone_and_the_person_with_the_last_one(self, scene: Scene) -> None:
        await scene.control.set_retention(DEFAULT, DEFAULT, 30, ME)
        now, rows = time.time(), np.eye(4, dtype=np.float32)
        for ages in ((50, 40, 3, 2), (60, 31), (None, 31, 5)):
            times = [None if age is None else int((now - age * DAY_S) * 1e6) for age in ages]
            person_id = uuid.uuid4()
            ids = [person_id, *(uuid.uuid4() for _ in times[1:])]
            kept = [Face(*each) for each in zip(ids, rows, times, strict=False)]
            scene.store.add(scene.collection, [with_faces(Point(person_id, "x", rows[0], times[0]), kept)])
        scene.sweep()
        assert scene.counted() == 5
        untimed, timed = sorted(scene.store.points(scene.collection), key=lambda point: point.added or 0)
        assert [face.added is None for face in untimed.faces] == [True, False]
        np.testing.assert_allclose(untimed.vector, (rows[0] + rows[2]) / np.sqrt(2), rtol=1e-6)
        np.testing.assert_allclose(timed.vector, (rows[2] + rows[3]) / np.sqrt(2), rtol=1e-6)
        scene.sweep(days=27.5)
        scene.sweep(days=28.5)
        scene.sweep(days=30.1)
        assert scene.store.count(scene.collection) == 0

    async def test_a_face_that_is_added_meanwhile_stays_with_its_person(self, scene: Scene) -> None:
        await scene.control.set_retention(DEFAULT, DEFAULT, 30, ME)
        (person_id,) = scene.add(40)

        def add() -> None:
            scene.store.before = lambda: None
            (read,) = scene.store.get(scene.collection, [person_id])
            new = Face(uuid.uuid4(), np.eye(4, dtype=np.float32)[1], int(time.time() * 1e6))
            MemoryStore.replace(scene.store, scene.collection, read, with_faces(read, [*read.faces, new]))

        scene.store.before = add
        scene.sweep()
        (point,) = scene.store.points(scene.collection)
        assert [face.face_id == person_id for face in point.faces] == [False]
        np.testing.assert_array_equal(point.vector, np.eye(4, dtype=np.float32)[1])

    async def test_faces_of_any_model_go(self, scene: Scene) -> None:
        await scene.control.set_retention(DEFAULT, DEFAULT, 30, ME)
        other: Store = scene.store.under(replace(SPACE, model="another"))
        old = Point(uuid.uuid4(), "x", np.eye(4, dtype=np.float32)[0], 1)
        other.add(scene.collection, [old])
        scene.sweep()
        assert scene.store.count(scene.collection) == 0


class TestErasure:
    async def test_bytes_are_erased_a_day_after_the_first_deletion(self, scene: Scene) -> None:
        await scene.control.set_retention(DEFAULT, DEFAULT, 30, ME)
        scene.add(40, 29.5)
        scene.sweep()
        scene.sweep(days=0.6)
        assert len(scene.store.deleted) == 2
        scene.sweep(days=ERASE_AFTER_S / DAY_S - 0.01)
        assert scene.store.compacted == []
        scene.sweep(days=ERASE_AFTER_S / DAY_S + 0.01)
        assert scene.store.compacted == [scene.collection]
        assert not scene.ledger.redis.exists(ERASE)
        scene.sweep(days=9)
        assert scene.store.compacted == [scene.collection], "nothing was deleted since"

    async def test_the_broker_rewrites_its_append_only_file(self, scene: Scene) -> None:
        redis = scene.ledger.redis
        redis.config_set("appendonly", "yes")
        wait_for(lambda: not redis.info("persistence")["aof_rewrite_in_progress"])
        redis.set("name", "Zebedeus")
        redis.delete("name")
        redis.config_set("appendfsync", "always")
        redis.set("x", 1)
        folder = Path(redis.config_get("dir")["dir"]) / redis.config_get("appenddirname")["appenddirname"]

        def remembers() -> bool:
            return any(b"Zebedeus" in path.read_bytes() for path in folder.iterdir() if path.exists())

        assert remembers()
        redis.zadd(ERASE, {scene.collection: 1})
        scene.sweep()
        wait_for(lambda: not remembers())

    async def test_what_an_operator_erased_goes_sooner_than_what_was_too_old(self, scene: Scene) -> None:
        other = (await scene.control.create_facedb(DEFAULT, "other")).collection
        scene.ledger.redis.zadd(ERASE, {scene.collection: time.time(), other: time.time()})
        begins = await scene.control.erase_soon([scene.collection])
        assert 0 < begins.timestamp() - time.time() <= DROP_AFTER_S
        scene.sweeper().poll()
        assert (scene.store.compacted, 0 < scene.turn_s() <= DROP_AFTER_S) == ([], True)
        scene.sweep(days=(DROP_AFTER_S + 1) / DAY_S)
        assert scene.store.compacted == [scene.collection]
        assert scene.ledger.redis.zrange(ERASE, 0, -1) == [other.encode()]

    async def test_faces_that_are_deleted_meanwhile_are_erased_later(self, scene: Scene) -> None:
        begins = await scene.control.erase_soon([scene.collection])
        rewritten = scene.store.compact

        def compact(collection: str, rest: Callable[[], None]) -> bool:
            scene.ledger.redis.zadd(ERASE, {collection: begins.timestamp()})  # as erase_soon does
            return rewritten(collection, rest)

        scene.store.compact = compact  # type: ignore[method-assign]
        scene.sweep(days=1)
        assert scene.ledger.redis.zscore(ERASE, scene.collection) == begins.timestamp()


class TestControl:
    async def test_a_retention_is_kept_with_its_facedb(self, scene: Scene) -> None:
        control = scene.control
        assert await control.retention(DEFAULT, DEFAULT) is None
        first = await control.set_retention(DEFAULT, DEFAULT, 30, "a")
        second = await control.set_retention(DEFAULT, DEFAULT, 36_500, "b")
        assert (second.days, second.by, second.since) == (36_500, "b", first.since)
        assert await control.retention(DEFAULT, DEFAULT) == second
        (listed,) = await control.listed(DEFAULT, await control.facedbs(DEFAULT))
        assert listed.retention_days == 36_500
        await control.remove_retention(DEFAULT, DEFAULT)
        assert await control.retention(DEFAULT, DEFAULT) is None
        with pytest.raises(Conflict, match="are kept for good already"):
            await control.remove_retention(DEFAULT, DEFAULT)

    @pytest.mark.parametrize("days", [0, -1, 36_501])
    async def test_other_numbers_of_days_are_refused(self, scene: Scene, days: int) -> None:
        with pytest.raises(OperatorError, match="1 to 36500 days"):
            await scene.control.set_retention(DEFAULT, DEFAULT, days, ME)

    async def test_an_unknown_facedb_has_none(self, scene: Scene) -> None:
        for act in (
            scene.control.retention(DEFAULT, "nowhere"),
            scene.control.set_retention(DEFAULT, "nowhere", 3, ME),
            scene.control.remove_retention(DEFAULT, "nowhere"),
        ):
            with pytest.raises(Unknown):
                await act

    async def test_a_facedb_of_the_same_name_does_not_inherit_it(self, scene: Scene) -> None:
        control, redis = scene.control, scene.ledger.redis
        await control.create_facedb(DEFAULT, "staff")
        await control.set_retention(DEFAULT, "staff", 30, ME)
        record = redis.get(retention_key(DEFAULT, "staff"))
        await control.drop_facedb(DEFAULT, "staff")
        assert not redis.exists(retention_key(DEFAULT, "staff"))
        await control.create_facedb(DEFAULT, "staff")
        redis.set(retention_key(DEFAULT, "staff"), record)  # as an earlier release leaves it, which drops the facedb
        facedb = json.loads(redis.get(facedb_key(DEFAULT, "staff")))
        redis.set(facedb_key(DEFAULT, "staff"), json.dumps(facedb | {"created": "2020-01-01T00:00:00Z"}))
        assert await control.retention(DEFAULT, "staff") is None
        scene.add(99, collection=facedb["collection"])
        scene.sweep()
        assert scene.store.deleted == []


@dataclass
class Operator:
    """An operator with a tenant of a running service, where one person was added just now."""

    service: Service
    tenant: str

    def run(self, *arguments: str, answer: str | None = None) -> Result:
        settings = {"REDIS_URL": self.service.broker, **UNHURRIED}
        return CliRunner().invoke(main, [*arguments, "--tenant", self.tenant], input=answer, env=settings)

    def retention(self, *arguments: str, answer: str | None = None) -> Result:
        return self.run("facedbs", "retention", DEFAULT, *arguments, answer=answer)


@pytest.fixture
def operator(service: Service) -> Operator:
    tenant, keys = new_tenant(service.broker, own={})
    answer = service.http.post("/v1/addface", headers={"X-API-Key": keys["own"]}, files={"img": hopper_jpeg()})
    assert answer.json()["status"] == "OK"
    return Operator(service, tenant)


class TestCommand:
    def test_a_retention_is_shown_set_and_removed(self, operator: Operator) -> None:
        assert operator.retention().stdout == f"facedb default of tenant {operator.tenant} keeps faces for good.\n"
        assert json.loads(operator.retention("--json").stdout) is None
        said = operator.retention("--days", "30")
        assert said.exit_code == 0, said.output
        assert said.stdout.startswith(f"facedb default of tenant {operator.tenant} keeps faces for 30 days, since ")
        assert json.loads(operator.retention("--json").stdout)["days"] == 30
        listed = operator.run("facedbs", "list").stdout.splitlines()
        assert (listed[0].split()[3], listed[1].split()[-3:-1]) == ("KEPT", ["30", "days"])
        assert json.loads(operator.run("facedbs", "list", "--json").stdout)[0]["retention_days"] == 30
        assert operator.retention("--off").stdout.endswith(" keeps faces for good.\n")
        assert operator.retention("--off").exit_code == 1
        events = json.loads(
            CliRunner().invoke(main, ["audit", "--json"], env={"REDIS_URL": operator.service.broker}).stdout
        )
        own = [(e["action"], e["facedb"], e["days"]) for e in events if e["tenant"] == operator.tenant]
        assert own == [("facedb.retention", DEFAULT, 30), ("facedb.retention-off", DEFAULT, None)]

    def test_it_asks_before_faces_go(self, operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("shared.aged_persons.time", SimpleNamespace(time=lambda: time.time() + 40 * DAY_S))
        asked = operator.retention("--days", "30", answer="n\n")
        assert asked.exit_code == 1
        assert (
            f"1 person of facedb default of tenant {operator.tenant} would lose faces older than 30 days now, for good."
            in asked.stderr
        )
        assert json.loads(operator.retention("--json").stdout) is None
        assert operator.retention("--days", "50").exit_code == 0, "nobody is that old"
        assert operator.retention("--days", "60").exit_code == 0, "it removes fewer than before"
        assert operator.retention("--days", "30", answer="y\n").exit_code == 0
        assert json.loads(operator.retention("--json").stdout)["days"] == 30

    def test_what_is_wrong_is_said(self, operator: Operator) -> None:
        assert operator.retention("--days", "0").exit_code == 2
        assert operator.retention("--days", "3", "--off").exit_code == 2
        missing = operator.run("facedbs", "retention", "nowhere", "--days", "3")
        assert missing.exit_code == 1
        assert missing.stderr.startswith(f"facesearch: tenant {operator.tenant} has no facedb nowhere; ")

    def test_without_a_worker_it_sets_only_what_is_confirmed(self, valkey_url: str) -> None:
        tenant, _ = new_tenant(valkey_url)
        settings = {"REDIS_URL": valkey_url, "FACESEARCH_DEADLINE_S": "0.2"}
        command = ["facedbs", "retention", DEFAULT, "--days", "3", "--tenant", tenant]
        refused = CliRunner().invoke(main, command, env=settings)
        assert (refused.exit_code, "no worker did it within 0.2 s" in refused.stderr) == (1, True)
        assert CliRunner().invoke(main, [*command, "--yes"], env=settings).exit_code == 0


@pytest.mark.embedded("it needs faces of another day in a data directory")
def test_a_running_service_removes_old_faces(tmp_path: Path) -> None:
    now = int(time.time() * 1e6)
    points = [
        replace(point, added=None if place == 0 else now - place * DAY_S * 1_000_000)
        for place, point in enumerate(faces(6))
    ]
    home = Home(tmp_path / "home", points)
    with Service(home.folder, dict(UNHURRIED)):
        at = ("--data-dir", home.folder)
        done("facedbs", "retention", DEFAULT, "--days", "3", "--yes", *at)

        def left() -> list[str]:
            return [person["person_id"] for person in json.loads(done("persons", "list", "--json", *at))]

        wait_for(lambda: len(left()) <= 3)
        assert left() == [str(points[place].person_id) for place in (0, 2, 1)]
