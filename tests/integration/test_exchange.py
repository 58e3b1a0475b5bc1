"""A whole face database leaves a service as a file and comes into another one, whatever keeps its faces."""

import asyncio
import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from redis import Redis
from redis import asyncio as aioredis

from contract.tenants import new_tenant
from facesearch.backup import handed_over
from facesearch.cli.main import main
from facesearch.exchange import reading, taking_in
from facesearch.exchange.about import ABOUT, PERSONS, VECTORS
from homes import Home, done, faces, ours, refused, with_preprocessing
from portraits import hopper_jpeg
from qdrant_server import served
from service import Service
from shared.control import DEFAULT, Control
from shared.errors import OperatorError
from shared.import_request import REQUEST, Progress, Request
from shared.jobs import DeleteJob, new_gateway_id, new_job_id, new_request_id
from shared.persons import FaceQuality
from shared.settings import Settings
from shared.worker_request import new_id, progress_key
from spaces import only
from worker.ledger import Ledger
from worker.models.identity import Identity
from worker.store import faces_file
from worker.store.base import Face, Point, Store
from worker.store.faces import faces_of, with_faces
from worker.store.memory import MemoryStore
from worker.upkeep import imports
from worker.upkeep.imports import Imports, take_in
from worker.upkeep.pace import AbandonedError

ROOT = Path(__file__).parents[2]
COLLECTION = "default.staff.0123abcd"

BATCH = 3


@pytest.fixture(autouse=True)
def few_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Add few persons at once, so that few are several batches."""
    monkeypatch.setattr(imports, "BATCH", BATCH)


def members(file: Path) -> list[bytes]:
    """Return what a file has of persons and vectors."""
    with zipfile.ZipFile(file) as archive:
        return [archive.read(PERSONS), archive.read(VECTORS)]


def about(file: Path) -> dict[str, Any]:
    with zipfile.ZipFile(file) as archive:
        return dict(json.loads(archive.read(ABOUT)))


async def with_a_tenant(url: str) -> None:
    async with aioredis.Redis.from_url(url) as redis:
        await Control(redis).set_first_key("a first key")


class Running:
    """Commands on a running service, in the name of a tenant of its own."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.tenant, keys = new_tenant(service.broker, own={})
        self.key = keys["own"]
        self.settings = service.settings | {"REDIS_URL": service.broker, "FACESEARCH_DATA_DIR": str(service.folder)}

    def run(self, *arguments: object, fails: bool = False) -> str:
        options = ["--tenant", self.tenant] if arguments[0] != "audit" else []
        ended = CliRunner().invoke(main, [*map(str, arguments), *options], env=self.settings, catch_exceptions=False)
        assert ended.exit_code == fails, ended.output
        return ended.stderr if fails else ended.stdout

    def call(self, name: str, facedb: str, **parameters: Any) -> Any:
        form = {"facedb": facedb, **parameters}
        files = {"img": hopper_jpeg()} if name != "delface" else None
        return self.service.http.post(f"/v1/{name}", data=form, files=files, headers={"X-API-Key": self.key}).json()


@pytest.fixture
def running(service: Service) -> Running:
    return Running(service)


class TestBetweenServices:
    def test_embedded_to_a_server_to_embedded_nothing_changes(
        self, running: Running, valkey_url: str, tmp_path: Path
    ) -> None:
        """A stopped service, a Qdrant server in either placement, and a running service."""
        *others, first, second, third = faces(BATCH + 7)
        quality: FaceQuality = {"size": 99.5, "sharpness": 0.8, "dark": 0.0, "bright": 0.1, "yaw": -1.0, "pitch": 2.0}
        more = [Face(one.person_id, one.vector, 2_000_000_000_000_000, quality) for one in (second, third)]
        home = Home(tmp_path / "home", [*others, with_faces(first, [*faces_of(first), *more])])
        files = [tmp_path / name for name in ("home.facedb", "server.facedb", "shared.facedb", "service.facedb")]
        said = done("export", files[0], "--data-dir", home.folder)
        assert f"{files[0]}: 8 persons with 10 faces" in said
        assert (about(files[0])["facedb"], about(files[0])["automatic_names"]) == ("default", 10)
        asyncio.run(with_a_tenant(valkey_url))
        with served(tmp_path / "qdrant", "a key") as server:
            for placement, before, after in zip(("separate", "shared"), files, files[1:], strict=False):
                settings = {"REDIS_URL": valkey_url, "QDRANT_URL": server.url, "QDRANT_API_KEY": "a key"}
                settings |= {"FACESEARCH_PLACEMENT": placement}
                assert "added         8 persons" in done("import", before, "--facedb", placement, **settings)
                assert "present       8 persons" in done("import", before, "--facedb", placement, **settings)
                done("export", after, "--facedb", placement, **settings)
        assert "added         8 persons" in running.run("import", files[2], "--facedb", "new")
        running.run("export", files[3], "--facedb", "new")
        lines, vectors = members(files[0])
        for file in files[1:]:
            assert sorted(members(file)[0].splitlines()) == sorted(lines.splitlines())
            assert about(file)["automatic_names"] == 10
        for file in files:
            with reading.opened(file) as opened:
                found = {point.person_id: point.vector.tobytes() for point in opened.points()}
            assert found == {point.person_id: point.vector.tobytes() for point in home.points}
        assert len(vectors) == 128 + 10 * ours().dimension * 4

    def test_persons_are_found_as_before_and_names_go_on(self, running: Running, tmp_path: Path) -> None:
        file = tmp_path / "default.facedb"
        (added,) = running.call("addface", "", external_id="e-1")["message"]
        running.run("export", file)
        running.run("import", file, "--facedb", "copy")
        (found,) = running.call("searchface", "copy")["message"]
        assert found == {"confidence": 100, "name": "ID0", "person_id": added["person_id"]}
        assert running.call("addface", "copy")["message"][0]["name"] == "ID1"
        audited = [line for line in json.loads(running.run("audit", "--json")) if line.get("tenant") == running.tenant]
        assert [(line["action"], line["facedb"]) for line in audited] == [
            ("facedb.export", "default"),
            ("facedb.create", "copy"),
            ("facedb.import", "copy"),
        ]

    def test_a_person_deleted_a_short_time_ago_does_not_come_back(self, running: Running, tmp_path: Path) -> None:
        file = tmp_path / "default.facedb"
        (added,) = running.call("addface", "")["message"]
        running.run("export", file)
        assert running.call("delface", "", person_id=added["person_id"])["status"] == "OK"
        assert "deleted       1 persons a short time ago" in running.run("import", file)
        assert running.call("searchface", "")["status"] == "NO_SIMILAR_FACE"

    def test_a_file_of_another_model_is_refused(self, running: Running, tmp_path: Path) -> None:
        other = Identity("other", "0" * 64, 1, ours().dimension)
        file = tmp_path / "other.facedb"
        Exported(other, faces(1)).write(file)
        complaint = running.run("import", file, "--facedb", "never-made", fails=True)
        assert str(other) in complaint
        assert str(ours()) in complaint
        assert "nothing was imported; set FACESEARCH_EMBEDDER=other again" in complaint
        assert "never-made" not in running.run("facedbs", "list")

    def test_another_way_of_preprocessing_does_not_mix(self, running: Running, tmp_path: Path) -> None:
        older, newer = tmp_path / "older.facedb", tmp_path / "newer.facedb"
        Exported(with_preprocessing(4), faces(1)).write(older)
        Exported(ours(), faces(1)).write(newer)
        running.run("import", older, "--facedb", "staff")
        complaint = running.run("import", newer, "--facedb", "staff", fails=True)
        assert f"it has faces of {with_preprocessing(4)} already" in complaint
        assert "import into another facedb" in complaint

    def test_what_is_wrong_is_said_before_anything_is_done(self, running: Running, tmp_path: Path) -> None:
        file = tmp_path / "staff.facedb"
        assert "has no facedb missing" in running.run("export", file, "--facedb", "missing", fails=True)
        Exported(ours(), faces(1)).write(file)
        assert "exists already" in running.run("export", file, fails=True)
        assert "--faces is for photos" in running.run("import", file, "--faces", "all", fails=True)
        file.write_bytes(file.read_bytes()[:-1])
        assert "damaged or cut short" in running.run("import", file, "--facedb", "never-made", fails=True)
        (tmp_path / "photos").mkdir()
        assert "--tenant is for an exported facedb" in running.run("import", tmp_path / "photos", fails=True)
        assert "never-made" not in running.run("facedbs", "list")

    def test_a_stopped_service_takes_nothing_in(self, tmp_path: Path) -> None:
        home, file = Home(tmp_path / "home", faces(1)), tmp_path / "home.facedb"
        done("export", file, "--data-dir", home.folder)
        assert "is stopped; start it" in refused("import", file, "--data-dir", home.folder)

    def test_the_lines_of_the_document_read_it(self, tmp_path: Path) -> None:
        (script,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/export.md").read_text(), re.DOTALL)
        assert len(script.splitlines()) <= 10
        points = faces(3)
        Exported(ours(), points).write(tmp_path / "staff.facedb")
        ended = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
        assert ended.stdout.splitlines() == [
            f"{point.person_id} {point.name} (1, {ours().dimension})" for point in points
        ]


class Exported:
    """A file of an identity, made without a service."""

    def __init__(self, identity: Identity, points: Iterable[Point]) -> None:
        self.identity, self.points = identity, points

    def write(self, path: Path) -> None:
        from facesearch.exchange import writing  # noqa: PLC0415

        with writing.workplace(path) as folder:
            writing.write(path, folder, "staff", self.identity, self.points, lambda: 0)


@pytest.fixture
def redis(valkey_url: str) -> Iterator[Redis]:
    with Redis.from_url(valkey_url) as client:
        yield client


@pytest.fixture
def ledger(redis: Redis) -> Ledger:
    return Ledger(redis, redis)


class TestTakingIn:
    def test_a_person_who_is_there_stays(self, ledger: Ledger) -> None:
        store, points = MemoryStore(ours()), faces(3)
        store.add(COLLECTION, [replace(points[0], name="Renamed")])
        ended = take_in(ledger, store, COLLECTION, ours(), points, print)
        assert (ended.read, ended.added, ended.present, ended.deleted) == (3, 2, 1, 0)
        found = store.person(COLLECTION, points[0].person_id)
        assert found is not None
        assert found.name == "Renamed"

    def test_interrupted_anywhere_it_goes_on(self, ledger: Ledger) -> None:
        store, points = MemoryStore(ours()), faces(2 * BATCH + 1)

        def interrupted(done: Progress) -> None:
            if done.read > BATCH:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            take_in(ledger, store, COLLECTION, ours(), points, interrupted)
        ended = take_in(ledger, store, COLLECTION, ours(), points, lambda _: None)
        assert (ended.added, ended.present) == (1, 2 * BATCH)
        assert store.count(COLLECTION) == len(points)

    def test_a_deletion_before_and_meanwhile_counts(self, ledger: Ledger) -> None:
        first, second, third = faces(3)

        class Store(MemoryStore):
            def add(self, collection: str, points: Any) -> None:
                super().add(collection, points)
                # A worker of an earlier release, which knows no registration, deletes.
                ledger.redis.set(f"fs:deletion:{collection}:{second.person_id}", f"{new_request_id()} 0")

        store = Store(ours())
        job = DeleteJob(
            job_id=new_job_id(new_gateway_id(), new_request_id()),
            deadline=0,
            collection=COLLECTION,
            person_id=first.person_id,
        )
        assert ledger.claim_deletion(job)
        ended = take_in(ledger, store, COLLECTION, ours(), [first, second, third], print)
        assert (ended.added, ended.deleted) == (1, 2)
        assert [point.person_id for point in store.points(COLLECTION)] == [third.person_id]

    def test_a_dropped_facedb_gets_nobody(self, ledger: Ledger) -> None:
        ledger.redis.zadd("fs:dropped", {COLLECTION: 1})
        with pytest.raises(AbandonedError, match="the facedb was dropped"):
            take_in(ledger, MemoryStore(ours()), COLLECTION, ours(), faces(1), print)

    def test_names_that_are_taken_are_not_drawn(self, ledger: Ledger) -> None:
        for count, drawn in ((7, 7), (3, 7), (0, 7), (9, 9)):
            ledger.skip_names(COLLECTION, count)
            assert ledger.names_drawn(COLLECTION) == drawn


def test_a_facedb_that_is_being_migrated_gets_nobody(redis: Redis, valkey_url: str, tmp_path: Path) -> None:
    async def migrating() -> str:
        async with aioredis.Redis.from_url(valkey_url) as client:
            control = Control(client)
            await control.set_first_key("a first key")
            return (await control.begin_migration(DEFAULT, DEFAULT, "one", "another", "test")).collection

    collection = asyncio.run(migrating())
    Exported(ours(), faces(1)).write(tmp_path / "staff.facedb")
    with (
        reading.opened(tmp_path / "staff.facedb") as file,
        pytest.raises(OperatorError, match="is being migrated: nothing was imported"),
    ):
        taking_in.bring_in(Settings(), redis, collection, file, print)


class TestHandingOver:
    LEFT = f"import-{'0' * 32}"

    def test_what_killed_imports_left_goes_with_the_next_and_with_erase(self, tmp_path: Path) -> None:
        for removed in (handed_over.remove_leftovers, self.next_one):
            (tmp_path / self.LEFT).mkdir()
            (tmp_path / self.LEFT / "faces.jsonl").write_text("a face")
            removed(tmp_path)
            assert [path.name for path in tmp_path.iterdir()] == [handed_over.LOCK]

    def next_one(self, handover: Path) -> None:
        with handed_over.handed_over(handover, new_id()) as folder:
            assert {path.name for path in handover.iterdir()} == {handed_over.LOCK, folder.name}

    def test_one_that_is_under_way_is_left_alone(self, tmp_path: Path) -> None:
        with handed_over.handed_over(tmp_path, new_id()) as folder:
            handed_over.remove_leftovers(tmp_path)
            assert folder.is_dir()
            with pytest.raises(OperatorError, match="another import"), handed_over.handed_over(tmp_path, new_id()):
                pass


class TestRequests:
    def ended(self, redis: Redis, store: Store, handover: Path, file: Path) -> Progress:
        """Return how a worker ends a request."""
        request = Request(id=new_id(), file=str(file), collection=COLLECTION)
        redis.set(REQUEST, request.model_dump_json())
        Imports(redis, Ledger(redis, redis), store, only(ours()), handover).poll()
        return Progress.model_validate_json(redis.get(progress_key(REQUEST, request.id)) or b"")

    @pytest.fixture
    def handover(self, tmp_path: Path) -> Path:
        (tmp_path / "handover").mkdir()
        return tmp_path / "handover"

    def test_a_worker_reads_below_its_own_folder_alone(self, redis: Redis, handover: Path) -> None:
        outside = handover.with_name("faces.jsonl")
        faces_file.write(outside, COLLECTION, ours(), faces(1))
        (handover / "link").symlink_to(outside)
        with closing(MemoryStore(ours())) as store:
            for file in (outside, handover / "link", handover / "../faces.jsonl"):
                ended = self.ended(redis, store, handover, file)
                assert ended.state == "failed"
                assert ended.reason.startswith(f"it reads below {handover} alone")
            assert store.count(COLLECTION) == 0

    def test_the_worker_says_why_it_took_nothing(self, redis: Redis, handover: Path) -> None:
        other = Identity("other", "0" * 64, 1, ours().dimension)
        file = handover / "faces.jsonl"
        store = MemoryStore(ours())
        assert "cannot read" in self.ended(redis, store, handover, file).reason
        faces_file.write(file, COLLECTION, other, faces(1))
        assert f"its faces were made by {other}" in self.ended(redis, store, handover, file).reason

    def test_it_takes_in_what_it_is_given(self, redis: Redis, handover: Path) -> None:
        points, store = faces(2 * BATCH), MemoryStore(ours())
        faces_file.write(handover / "faces.jsonl", COLLECTION, ours(), points)
        ended = self.ended(redis, store, handover, handover / "faces.jsonl")
        assert (ended.state, ended.added) == ("done", 2 * BATCH)
        assert store.count(COLLECTION) == 2 * BATCH
