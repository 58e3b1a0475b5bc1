"""Backup and restore of a stopped service's data, and of servers: everything is restored, or nothing is changed."""

import hashlib
import json
import stat
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from redis import Redis

from facesearch.embedded import data_directory
from homes import Home, done, faces, ours, read, refused, with_preprocessing
from qdrant_server import Server, served
from shared import last_backup
from shared.control import DROP_AFTER_S
from shared.settings import Settings
from worker.models.identity import Identity
from worker.store.base import Person, Store
from worker.store.edge.store import EdgeStore
from worker.store.qdrant.backend import open_qdrant
from worker.store.views import matching

KEY = "a key for tests"

pytestmark = pytest.mark.embedded("it starts servers of its own")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


@pytest.fixture
def backup(home: Home, tmp_path: Path) -> Path:
    done("backup", tmp_path / "backup", "--data-dir", home.folder)
    return tmp_path / "backup"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with served(tmp_path_factory.mktemp("qdrant"), KEY) as running:
        yield running


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    """A server for one test: a shared collection stays when its last facedb is dropped."""
    with served(tmp_path / "qdrant", KEY) as running:
        yield running


@pytest.fixture
def servers(server: Server, valkey_url: str) -> dict[str, str]:
    """Settings with an empty Redis, and a Qdrant without this test's collections."""
    patient = {"FACESEARCH_STORE_TIMEOUT_S": "30", "FACESEARCH_VISIBILITY_TIMEOUT_S": "60"}
    return {"REDIS_URL": valkey_url, "QDRANT_URL": server.url, "QDRANT_API_KEY": KEY, **patient}


def on_server(server: Server) -> Store:
    patient = {"store_timeout_s": 30, "visibility_timeout_s": 60}
    return open_qdrant(Settings(qdrant_url=server.url, qdrant_api_key=KEY, **patient), ours())


NOT_KEPT = (b"fs:audit", last_backup.KEY.encode())
"""Beginnings of the keys that are in no backup."""


def contents(redis: Redis) -> dict[str, object]:
    """Return everything that a Redis contains."""
    reading = {b"string": redis.get, b"set": redis.smembers, b"hash": redis.hgetall}
    keys = sorted(key for key in redis.scan_iter("fs:*") if not key.startswith(NOT_KEPT))
    return {key.decode(): reading[redis.type(key)](key) for key in keys}


def as_of_an_earlier_release(backup: Path, name: str) -> None:
    """Make a backup into one of version 1, in the file of which faces have nothing but a name."""
    path, made = backup / name, json.loads((backup / "manifest.json").read_text())
    header, *lines = path.read_text().splitlines()
    kept = [{key: json.loads(line)[key] for key in ("person_id", "name", "vector")} for line in lines]
    path.write_text("".join(f"{line}\n" for line in [header, *map(json.dumps, kept)]))
    (of_it,) = (file for file in made["files"] if file["name"] == name)
    of_it |= {"bytes": path.stat().st_size, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    (backup / "manifest.json").write_text(json.dumps(made | {"version": 1}))


class TestABackup:
    def test_a_backup_is_a_folder_for_its_owner_with_all_data(self, home: Home, backup: Path) -> None:
        held = {path.relative_to(backup).as_posix() for path in backup.rglob("*") if path.is_file()}
        files = {"manifest.json", "control.jsonl", "api-key", "admin-key"}
        assert held == files | {f"faces/{home.collection}.jsonl", f"faces/{home.staff}.jsonl"}
        assert stat.S_IMODE(backup.stat().st_mode) == 0o700
        for name in (data_directory.API_KEY, data_directory.ADMIN_KEY):
            assert stat.S_IMODE((backup / name).stat().st_mode) == 0o600
            assert (backup / name).read_text() == (home.folder / name).read_text()

    def test_short_lived_keys_are_left_out(self, backup: Path) -> None:
        keys = [json.loads(line)["key"] for line in (backup / "control.jsonl").read_text().splitlines()]
        assert len(keys) == len(set(keys))
        assert keys[0] == "fs:once:default:cafe", "outcomes that are kept come before the faces"
        assert not {key for key in keys if "drawn" in key or not key.startswith("fs:")}
        assert {key.split(":")[1] for key in keys} == {
            *(
                "once",
                "tenants",
                "tenant-ids",
                "tenant",
                "keys",
                "key",
                "first-key",
                "facedbs",
                "facedb",
                "names",
                "usage",
                "key-records",
            ),
        }

    def test_the_newest_backups_of_a_folder_are_kept(
        self, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = tmp_path / "backups"
        days = [datetime(2026, 1, day, 3, 17, tzinfo=UTC) for day in (29, 30, 31)]
        names = [f"{day:%Y-%m-%d}T03-17-00Z" for day in days]
        outputs = []
        for day in days:
            monkeypatch.setattr("facesearch.backup.rotation.now", lambda day=day: day)
            outputs.append(done("backup", folder, "--keep", 2, "--data-dir", home.folder))
        assert sorted(path.name for path in folder.iterdir()) == [".lock", *names[1:]]
        assert outputs[1].startswith(f"{folder / names[1]}: ")
        assert outputs[2].splitlines()[1:] == [f"{folder / names[0]}: removed"]
        assert "nothing is wrong" in done("verify", folder / names[2], "--data-dir", home.folder)

    def test_older_backups_stay_if_the_new_one_fails(self, home: Home, tmp_path: Path) -> None:
        done("backup", tmp_path / "backups", "--keep", 1, "--data-dir", home.folder)
        before = sorted(tmp_path.joinpath("backups").iterdir())
        refused("backup", tmp_path / "backups", "--keep", 1, "--data-dir", tmp_path / "nowhere")
        assert sorted(tmp_path.joinpath("backups").iterdir()) == before

    def test_no_folder_is_written_twice(self, home: Home, backup: Path) -> None:
        before = (backup / "manifest.json").read_bytes()
        assert "holds a backup already" in refused("backup", backup, "--data-dir", home.folder)
        (backup / "manifest.json").unlink()
        assert "cut short" in refused("backup", backup, "--data-dir", home.folder)
        (backup / "manifest.json").write_bytes(before)
        assert done("verify", backup)

    def test_a_data_directory_without_a_service_is_refused(self, tmp_path: Path) -> None:
        assert "no service has run on" in refused("backup", tmp_path / "b", "--data-dir", tmp_path / "nothing")
        assert not (tmp_path / "nothing").exists()
        assert not (tmp_path / "b").exists()

    def test_a_folder_that_cannot_be_written_is_refused(self, home: Home, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        said = refused("backup", tmp_path / "file" / "b", "--data-dir", home.folder)
        assert f"cannot write to {tmp_path}/file/b (Not a directory)" in said

    def test_the_memory_store_is_refused(self, home: Home, tmp_path: Path) -> None:
        said = refused("backup", tmp_path / "b", "--data-dir", home.folder, FACESEARCH_STORE="memory")
        assert "keeps nothing" in said

    def test_faces_of_another_model_are_refused_with_both_identities(self, home: Home, tmp_path: Path) -> None:
        record = home.folder / "faces" / home.collection / "collection.json"
        record.write_text(record.read_text().replace("sface-2021dec-int8bq", "another-model"))
        said = refused("backup", tmp_path / "b", "--data-dir", home.folder)
        assert "another-model" in said
        assert str(ours()) in said
        assert "cut short" in refused("restore", tmp_path / "b", "--data-dir", tmp_path / "new")

    def test_a_redis_that_does_not_answer_is_an_error(self, tmp_path: Path) -> None:
        said = refused("backup", tmp_path / "b", REDIS_URL="redis://127.0.0.1:1", QDRANT_URL="http://127.0.0.1:1")
        assert said == (
            "the Redis of REDIS_URL at 127.0.0.1:1 does not answer (ConnectionError); start it, or correct REDIS_URL; "
            "there is no backup"
        )


class TestIntoADataDirectory:
    def test_everything_is_restored(self, home: Home, backup: Path, tmp_path: Path) -> None:
        said = done("restore", backup, "--data-dir", tmp_path / "new")
        assert said.startswith("restored: 5 persons of 2 facedbs, from the backup of 20")
        with home.broker() as redis:
            redis.delete("fs:drawn:passing")
            before, left = contents(redis), redis.ttl("fs:once:default:cafe")
        restored = Home.__new__(Home)
        restored.folder = tmp_path / "new"
        with restored.broker() as redis:
            assert contents(redis) == before
            assert left - 60 <= redis.ttl("fs:once:default:cafe") <= left
        with closing(home.store()) as old, closing(restored.store()) as new:
            assert new.collections() == [home.collection]
            assert read(new, home.collection) == read(old, home.collection)
            wanted = home.points[0]
            assert new.search(home.collection, wanted.vector, 5, -1) == old.search(
                home.collection, wanted.vector, 5, -1
            )
        for name in (data_directory.API_KEY, data_directory.ADMIN_KEY):
            assert (restored.folder / name).read_text() == (home.folder / name).read_text()
            assert stat.S_IMODE((restored.folder / name).stat().st_mode) == 0o600
        assert "nothing is wrong" in done("verify", "--data-dir", restored.folder)

    def test_a_backup_of_an_earlier_release_is_restored(self, home: Home, backup: Path, tmp_path: Path) -> None:
        as_of_an_earlier_release(backup, f"faces/{home.collection}.jsonl")
        assert "nothing is wrong" in done("verify", backup, "--data-dir", home.folder)
        done("restore", backup, "--data-dir", tmp_path / "new")
        restored = Home.__new__(Home)
        restored.folder = tmp_path / "new"
        with closing(restored.store()) as store:
            persons = store.page(home.collection, None, 10)
        assert {person.person_id for person in persons} == {point.person_id for point in home.points}
        assert {person.added for person in persons} == {None}

    def test_existing_data_is_replaced_only_with_overwrite(self, home: Home, backup: Path) -> None:
        more = faces(3, first=100)
        with closing(home.store()) as store:
            store.add(home.collection, more)
            store.add(home.staff, more)
        (home.folder / data_directory.API_KEY).write_text("another key\n")
        said = refused("restore", backup, "--data-dir", home.folder)
        assert "holds a service already (faces, valkey, api-key, admin-key): nothing was restored" in said
        with closing(home.store()) as store:
            assert store.count(home.collection) == 8

        done("restore", backup, "--data-dir", home.folder, "--overwrite")
        with closing(home.store()) as store:
            assert store.collections() == [home.collection]
            assert read(store, home.collection).keys() == {point.person_id for point in home.points}
        assert (home.folder / data_directory.API_KEY).read_text() == (backup / data_directory.API_KEY).read_text()
        assert not list(home.folder.glob("restor*"))

    def test_a_data_directory_in_use_is_refused(self, home: Home, backup: Path) -> None:
        with data_directory.opened(home.folder):
            assert "in use" in refused("restore", backup, "--data-dir", home.folder, "--overwrite")

    @pytest.mark.parametrize("name", ["control.jsonl", "faces/{}.jsonl", "api-key", "manifest.json"])
    def test_a_damaged_backup_changes_nothing(self, home: Home, backup: Path, name: str) -> None:
        path = backup / name.format(home.collection)
        path.write_bytes(path.read_bytes()[:-2])
        said = refused("restore", backup, "--data-dir", home.folder, "--overwrite")
        assert f"{path} is damaged" in said
        with closing(home.store()) as store:
            assert store.count(home.collection) == 5
        assert refused("restore", backup, "--data-dir", home.folder / "new") == said
        assert not (home.folder / "new").exists()

    def test_another_embedder_is_refused_with_both_identities_and_a_hint(self, backup: Path, tmp_path: Path) -> None:
        said = refused("restore", backup, "--data-dir", tmp_path / "new", FACESEARCH_EMBEDDER="sface-2021dec")
        assert f"were made by {ours()}, and this service makes sface-2021dec:" in said
        assert "; set FACESEARCH_EMBEDDER=sface-2021dec-int8bq again, or add the faces again" in said
        assert not (tmp_path / "new").exists()

    def test_faces_of_unknown_facedbs_are_not_restored(self, home: Home, tmp_path: Path) -> None:
        with home.broker() as redis:
            record = redis.get("fs:facedb:default:staff")
            redis.set("fs:facedb:default:staff", record.replace(b"staff.", b"other."))
        with closing(home.store()) as store:
            store.add(home.staff.replace("staff.", "other."), faces(2))
        done("backup", tmp_path / "b", "--data-dir", home.folder)
        lines = (tmp_path / "b" / "control.jsonl").read_text()
        renamed = lines.replace("default.other.", "default.third.")
        (tmp_path / "b" / "control.jsonl").write_text(renamed)
        manifest = json.loads((tmp_path / "b" / "manifest.json").read_text())
        manifest["files"] = [file for file in manifest["files"] if file["name"] != "control.jsonl"]
        (tmp_path / "b" / "manifest.json").write_text(json.dumps(manifest))
        assert done("restore", tmp_path / "b", "--data-dir", tmp_path / "new").startswith("restored: 5 persons")
        with closing(EdgeStore(tmp_path / "new" / "faces", ours(), 1)) as store:
            assert store.collections() == [home.collection]


def identities(store: Store, home: Home) -> list[Identity | None]:
    """Return those of the two facedbs."""
    return [store.identity_of(collection) for collection in (home.collection, home.staff)]


def all_faces(store: Store, home: Home) -> list[dict[uuid.UUID, tuple[Person, bytes]]]:
    """Return the faces of both facedbs, each read under its own identity."""
    return [read(matching(store, collection), collection) for collection in (home.collection, home.staff)]


class TestSeveralPreprocessings:
    """Each facedb keeps its own, in a backup too."""

    SPACES = (with_preprocessing(3), with_preprocessing(4))

    @pytest.fixture
    def home(self, tmp_path: Path) -> Home:
        home = Home(tmp_path / "home", points=[])
        with closing(home.store()) as store:
            store.under(self.SPACES[0]).add(home.collection, faces(5))
            store.under(self.SPACES[1]).add(home.staff, faces(2, first=50))
        return home

    @pytest.fixture
    def before(self, home: Home) -> list[dict[uuid.UUID, tuple[Person, bytes]]]:
        with closing(home.store()) as store:
            found = all_faces(store, home)
        assert list(map(len, found)) == [5, 2]
        return found

    @pytest.mark.usefixtures("before")
    def test_verifying_reads_both(self, home: Home, backup: Path) -> None:
        for arguments in (["--data-dir", home.folder], [backup]):
            assert "7 persons in 2 collections; nothing is wrong" in done("verify", *arguments)

    @pytest.mark.parametrize("mirror", ["true", "false"])
    def test_into_a_data_directory(
        self, home: Home, before: list[object], backup: Path, tmp_path: Path, mirror: str
    ) -> None:
        """Whichever the service that is restored gives to new facedbs."""
        said = done("restore", backup, "--data-dir", tmp_path / "new", FACESEARCH_MIRROR_FACES=mirror)
        assert said.startswith("restored: 7 persons of 2 facedbs")
        with closing(EdgeStore(tmp_path / "new" / "faces", ours(), 1)) as store:
            assert identities(store, home) == list(self.SPACES)
            assert all_faces(store, home) == before

    @pytest.mark.slow
    @pytest.mark.parametrize("placement", ["separate", "shared"])
    def test_into_servers_and_back_from_their_snapshots(
        self,
        home: Home,
        before: list[object],
        backup: Path,
        own_server: Server,
        servers: dict[str, str],
        tmp_path: Path,
        placement: str,
    ) -> None:
        servers |= {"FACESEARCH_PLACEMENT": placement, "QDRANT_URL": own_server.url}
        done("restore", backup, **servers)
        patient = {"store_timeout_s": 30, "visibility_timeout_s": 60}
        settings = Settings(qdrant_url=own_server.url, qdrant_api_key=KEY, placement=placement, **patient)
        with closing(open_qdrant(settings, ours())) as store:
            assert identities(store, home) == list(self.SPACES)
            assert all_faces(store, home) == before
            done("backup", tmp_path / "servers", **servers)
            assert "nothing is wrong" in done("verify", tmp_path / "servers")
            store.drop(home.staff)
        done("restore", tmp_path / "servers", "--overwrite", **servers)
        with closing(open_qdrant(settings, ours())) as store:
            assert identities(store, home) == list(self.SPACES)
            assert all_faces(store, home) == before
            for collection in (home.collection, home.staff):
                store.drop(collection)


@pytest.mark.slow
class TestIntoServers:
    def test_an_embedded_service_moves_to_servers(
        self, home: Home, backup: Path, server: Server, servers: dict[str, str]
    ) -> None:
        assert done("restore", backup, **servers).startswith("restored: 5 persons of 2 facedbs")
        with closing(on_server(server)) as store, closing(home.store()) as old:
            assert read(store, home.collection) == read(old, home.collection)
        with Redis.from_url(servers["REDIS_URL"]) as redis:
            assert redis.get(f"fs:names:{home.collection}") == b"10"
            assert redis.hgetall("fs:once:default:cafe")[b"asked"] == b"\xff\x00"
            assert redis.smembers("fs:tenants") == {b"default"}

    def test_a_backup_of_servers_is_restored_into_empty_servers(
        self, home: Home, backup: Path, server: Server, servers: dict[str, str], tmp_path: Path
    ) -> None:
        done("restore", backup, **servers)
        done("backup", tmp_path / "servers", **servers)
        assert not (tmp_path / "servers" / data_directory.API_KEY).exists()
        assert "nothing is wrong" in done("verify", tmp_path / "servers")
        with Redis.from_url(servers["REDIS_URL"]) as redis, closing(on_server(server)) as store:
            before = contents(redis)
            faces_before = read(store, home.collection)
            assert "REDIS_URL holds 1 tenants" in refused("restore", tmp_path / "servers", **servers)
            redis.flushdb()
            said = refused("restore", tmp_path / "servers", **servers)
            assert f"{home.collection} has 5 faces: nothing was loaded" in said
            assert contents(redis) == {}
            store.drop(home.collection)
            done("restore", tmp_path / "servers", **servers)
            assert contents(redis) == before
            assert read(store, home.collection) == faces_before

    def test_overwriting_replaces_all_and_removes_the_rest(
        self, home: Home, backup: Path, server: Server, servers: dict[str, str]
    ) -> None:
        with Redis.from_url(servers["REDIS_URL"]) as redis, closing(on_server(server)) as store:
            redis.sadd("fs:tenants", "old")
            redis.set("fs:tenant:old", '{"name":"old","facedb":"x","created":"2026-01-31T12:00:00Z"}')
            redis.sadd("fs:facedbs:old", "x")
            redis.set("fs:facedb:old:x", '{"name":"x","collection":"old.x.00000000","created":"2026-01-31T12:00:00Z"}')
            redis.hset("fs:once:old:beef", "asked", "x")
            redis.set("fs:workers-are-none-of-this", "x")
            store.add(home.collection, faces(3, first=100))
            done("restore", backup, "--overwrite", **servers)
            assert read(store, home.collection).keys() == {point.person_id for point in home.points}
            assert redis.smembers("fs:tenants") == {b"default"}
            assert not redis.exists("fs:tenant:old", "fs:facedb:old:x", "fs:facedbs:old", "fs:once:old:beef")
            assert redis.exists("fs:workers-are-none-of-this")
            ((collection, since),) = redis.zrange("fs:dropped", 0, -1, withscores=True)
            assert collection == b"old.x.00000000"
            assert DROP_AFTER_S - 20 < since - time.time() < DROP_AFTER_S + 10

    def test_snapshots_need_a_server(self, backup: Path, servers: dict[str, str], tmp_path: Path) -> None:
        done("restore", backup, "--overwrite", **servers)
        done("backup", tmp_path / "servers", **servers)
        said = refused("restore", tmp_path / "servers", "--data-dir", tmp_path / "new")
        assert "set QDRANT_URL" in said
        said = refused("restore", tmp_path / "servers", "--overwrite", **servers, FACESEARCH_PLACEMENT="shared")
        assert said.endswith("set FACESEARCH_PLACEMENT=separate")
        said = refused("restore", tmp_path / "servers", "--overwrite", **servers, FACESEARCH_EMBEDDER="sface-2021dec")
        assert "; set FACESEARCH_EMBEDDER=sface-2021dec-int8bq again, or add the faces again" in said

    def test_a_backup_is_restored_into_a_shared_collection(
        self, home: Home, backup: Path, server: Server, servers: dict[str, str]
    ) -> None:
        done("restore", backup, **servers, FACESEARCH_PLACEMENT="shared")
        settings = Settings(qdrant_url=server.url, qdrant_api_key=KEY, placement="shared", store_timeout_s=30)
        with closing(open_qdrant(settings, ours())) as store:
            assert read(store, home.collection).keys() == {point.person_id for point in home.points}
            store.drop(home.collection)
