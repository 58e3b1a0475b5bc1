"""`facesearch verify` finds each kind of damage, reports each in one line, and reports none without damage."""

import json
import re
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import qdrant_edge
from redis import Redis

from facesearch.embedded import data_directory
from homes import Home, command, done, faces, ours, refused

pytestmark = [pytest.mark.slow, pytest.mark.embedded("it looks at data directories")]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def wrong(*arguments: object, **settings: str) -> list[str]:
    """Return the lines with damage; the last line is a summary."""
    result = command("verify", *arguments, **settings)
    assert result.exit_code == 1, result.output
    *lines, last = result.stdout.splitlines()
    assert all(line.startswith("wrong: ") for line in lines)
    assert re.fullmatch(rf".+: \d+ persons in \d+ collections; {len(lines)} things are wrong", last)
    return [line.removeprefix("wrong: ") for line in lines]


def only(lines: list[str]) -> str:
    (line,) = lines
    return line


class TestADataDirectory:
    def test_an_undamaged_one_passes(self, home: Home) -> None:
        for _ in range(2):  # verify changes nothing
            assert done("verify", "--data-dir", home.folder) == (
                f"{home.folder}: 5 persons in 1 collections; nothing is wrong\n"
            )

    def test_a_missing_data_directory_or_one_in_use_is_an_error(self, home: Home, tmp_path: Path) -> None:
        assert "there is no data directory" in refused("verify", "--data-dir", tmp_path / "nothing")
        with data_directory.opened(home.folder):
            said = refused("verify", "--data-dir", home.folder)
        assert "in use by another instance; stop that one" in said
        assert "`facesearch backup DIR`" in said

    def test_a_service_on_servers_is_an_error(self, home: Home) -> None:
        servers = {"REDIS_URL": "redis://127.0.0.1:1", "QDRANT_URL": "http://127.0.0.1:1"}
        assert "nothing is embedded" in refused("verify", "--data-dir", home.folder, **servers)

    def test_a_missing_valkey_folder_is_reported(self, home: Home) -> None:
        (home.folder / "valkey").rename(home.folder / "elsewhere")
        assert "has no valkey" in only(wrong("--data-dir", home.folder))

    @pytest.mark.parametrize("how", ["cut off", "overwritten"])
    def test_a_damaged_append_only_file_is_reported(self, home: Home, how: str) -> None:
        (log,) = (home.folder / "valkey" / "appendonlydir").glob("*.incr.aof")
        whole = log.read_bytes()
        log.write_bytes(whole[:-3] if how == "cut off" else whole[: len(whole) // 2] + b"?" * 40 + whole[-40:])
        said = only(wrong("--data-dir", home.folder))
        assert "the broker cannot load its files" in said
        assert "append only file" in said

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            (lambda redis: redis.delete("fs:tenant:default"), "tenant default: its record is not there"),
            (lambda redis: redis.srem("fs:facedbs:default", "staff"), "no tenant has this facedb"),
            (lambda redis: redis.delete("fs:facedb:default:staff"), "facedb staff of tenant default: its record"),
            (lambda redis: redis.delete("fs:keys:default"), "works and is in no list"),
            (lambda redis: redis.set("fs:facedb:default:staff", "{"), "its record is damaged"),
            (lambda redis: redis.set("fs:usage:2026-01-31", "x"), "is a string, not a hash"),
            (lambda redis: redis.rpush("fs:facedbs:bank", "x"), "is a list, not a set"),
        ],
    )
    def test_damaged_control_data_is_reported(self, home: Home, change: Callable[[Redis], None], said: str) -> None:
        with home.broker() as redis:
            change(redis)
        assert said in only(wrong("--data-dir", home.folder))

    def test_faces_of_unknown_facedbs_are_reported(self, home: Home) -> None:
        with closing(home.store()) as store:
            store.add("default.gone.00000000", faces(2))
        assert "default.gone.00000000: no facedb has this collection" in only(wrong("--data-dir", home.folder))
        with home.broker() as redis:
            redis.zadd("fs:dropped", {"default.gone.00000000": 1})
        assert "nothing is wrong" in done("verify", "--data-dir", home.folder)

    def test_one_face_in_two_facedbs_is_reported(self, home: Home) -> None:
        with closing(home.store()) as store:
            store.add(home.staff, home.points[:1])
        said = only(wrong("--data-dir", home.folder))
        assert f"face {home.points[0].person_id.hex} is in {home.collection} too" in said

    def test_faces_of_another_model_are_reported(self, home: Home) -> None:
        said = only(wrong("--data-dir", home.folder, FACESEARCH_EMBEDDER="sface-2021dec"))
        assert f"{home.collection} has faces of {ours()}, and this service makes sface-2021dec:" in said
        assert "; set FACESEARCH_EMBEDDER=sface-2021dec-int8bq again, or add the faces again" in said

    @pytest.mark.parametrize("name", ["collection.json", "shard/edge_config.json", "shard/segments/*/segment.json"])
    def test_a_damaged_collection_is_reported_and_the_others_are_read(self, home: Home, name: str) -> None:
        with closing(home.store()) as store:
            store.add(home.staff, faces(3, first=50))
        for path in (home.folder / "faces" / home.collection).glob(name):
            path.write_bytes(b"")
        result = command("verify", "--data-dir", home.folder)
        assert "3 persons in 2 collections; 1 things are wrong" in result.stdout
        assert f"wrong: {home.collection}: " in result.stdout
        assert "restore a backup" in result.stdout

    def test_files_that_crash_the_engine_are_reported(self, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
        """A bus error, as a truncated mapped file causes."""
        died = "import os, signal; os.kill(os.getpid(), signal.SIGBUS)"
        monkeypatch.setattr("worker.store.edge.examine.COMMAND", ("-c", died))
        said = only(wrong("--data-dir", home.folder))
        assert f"{home.collection}: the engine dies of it (exit status -7)" in said

    def test_missing_names_and_invalid_vectors_are_reported(self, home: Home) -> None:
        path = home.folder / "faces" / home.collection / "shard"
        for payload, numbers, said in (
            ({}, home.points[0].vector, "has no name"),
            ({"name": "x"}, np.full_like(home.points[0].vector, np.nan), "a vector of length nan"),
        ):
            shard = qdrant_edge.EdgeShard.load(str(path))
            point = qdrant_edge.Point(str(home.points[0].person_id), numbers.tolist(), payload)
            shard.update(qdrant_edge.UpdateOperation.upsert_points([point]))
            shard.close()
            assert said in only(wrong("--data-dir", home.folder))


class TestABackup:
    @pytest.fixture
    def backup(self, home: Home, tmp_path: Path) -> Path:
        done("backup", tmp_path / "backup", "--data-dir", home.folder)
        return tmp_path / "backup"

    def test_an_undamaged_one_passes(self, backup: Path) -> None:
        assert done("verify", backup) == f"{backup}: 5 persons in 2 collections; nothing is wrong\n"
        found = {"subject": str(backup), "persons": 5, "collections": 2, "problems": []}
        assert json.loads(done("verify", backup, "--json")) == found

    def test_a_folder_without_a_backup_is_an_error(self, tmp_path: Path) -> None:
        assert only(wrong(tmp_path)).startswith(f"{tmp_path} holds no backup; ")

    def test_every_damaged_file_is_reported(self, home: Home, backup: Path) -> None:
        for name in ("control.jsonl", f"faces/{home.collection}.jsonl", "api-key"):
            path = backup / name
            path.write_bytes(path.read_bytes()[:-1])
        lines = wrong(backup)
        for name in ("control.jsonl", f"faces/{home.collection}.jsonl", "api-key"):
            assert any(line.startswith(f"{backup / name} is damaged: its size or checksum") for line in lines)
        assert any("line 2" not in line and "is no face" in line for line in lines)

    def test_missing_and_unknown_files_are_reported(self, home: Home, backup: Path) -> None:
        path = backup / "faces" / f"{home.staff}.jsonl"
        path.rename(backup / "faces" / "letter")
        missing, more = wrong(backup)
        assert missing.startswith(f"{path} cannot be read")
        assert more == f"{backup / 'faces' / 'letter'} is no part of the backup; remove it"

    def test_faces_of_another_model_are_reported(self, backup: Path) -> None:
        lines = wrong(backup, FACESEARCH_EMBEDDER="sface-2021dec")
        assert len(lines) == 2
        assert all("set FACESEARCH_EMBEDDER" in line for line in lines)
