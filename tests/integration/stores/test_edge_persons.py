"""Persons in the files of Qdrant Edge: their indexes, and what stays of them after restarts and killed processes."""

import json
import subprocess
import sys
import tarfile
import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import qdrant_edge as engine

from homes import with_preprocessing
from worker.models.identity import Identity
from worker.store.awaiting import await_available
from worker.store.base import Point, StoreError, StoreUnavailable, Vector
from worker.store.edge import files, indexes
from worker.store.edge.store import EdgeStore

OURS = Identity("sface", "0" * 64, 1, 16)
NOW = 1_790_000_000_000_000
OF_0_1 = Path(__file__).parents[2] / "data" / "data_of_0_1.tar.xz"


def unit(seed: int, dimension: int = 16) -> Vector:
    vector = np.random.default_rng(seed).standard_normal(dimension)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def face(seed: int) -> Point:
    return Point(uuid.UUID(int=seed), f"Name{seed:06d}x", unit(seed), NOW + seed, f"id{seed}", {"note": f"Note{seed}"})


def opened(folder: Path) -> EdgeStore:
    """Open the store with int8 from 200 points on; a collection is large from 800 on."""
    return EdgeStore(folder, OURS, 8, 200)


def indexed(store: EdgeStore) -> set[str]:
    with store._shards.use("db") as shard:
        return set(indexes.keys_of(shard.engine))


def traces(folder: Path, text: str) -> set[str]:
    """Return the names of files that contain the text."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return {path.name for path in found if text.encode() in path.read_bytes()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "faces"


@pytest.fixture
def store(folder: Path) -> Iterator[EdgeStore]:
    with closing(opened(folder)) as store:
        for begin in range(0, 400, 50):
            store.add("db", [face(seed) for seed in range(begin, begin + 50)])
        yield store


def make_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on make shards without indexes, as an earlier release did."""
    monkeypatch.setattr(indexes, "create_shard", lambda path, config, *_: engine.EdgeShard.create(str(path), config))


class TestIndexes:
    def test_those_of_names_and_external_ids_are_made_when_somebody_looks_for_one(self, store: EdgeStore) -> None:
        assert indexed(store) == {"added"}
        store.page("db", None, 10)
        assert indexed(store) == {"added"}
        assert store.page("db", None, 10, name=face(7).name) == [face(7).person]
        assert indexed(store) == {"added", "name"}
        assert store.page("db", None, 10, external_id="id7") == [face(7).person]
        assert indexed(store) == {"added", "name", "external_id"}

    def test_they_outlive_restarts_compaction_and_changes(self, store: EdgeStore, folder: Path) -> None:
        store.page("db", None, 10, name="Ada")
        store.add("db", [face(seed) for seed in range(400, 600)])
        store.update("db", face(3).person_id, {"name": "Ada"})
        store.compact("db", lambda: None)
        assert indexed(store) == {"added", "name"}
        store.close()
        with closing(opened(folder)) as again:
            assert indexed(again) == {"added", "name"}
            assert again.page("db", None, 10, name="Ada") == [replace(face(3).person, name="Ada")]
            assert len(again.page("db", None, 1000)) == 600

    def test_a_collection_that_becomes_large_gets_all_of_them(self, folder: Path) -> None:
        with closing(EdgeStore(folder, OURS, 8, index_from=50)) as store:
            for begin in range(0, 300, 10):
                store.add("db", [face(seed) for seed in range(begin, begin + 10)])
                assert indexed(store) == {"added"} or begin >= 190
            assert indexed(store) == {"added", "name", "external_id", "face_count"}

    def test_a_large_collection_of_an_earlier_release_gets_them_by_compaction(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as before, closing(EdgeStore(folder, OURS, 8)) as store:
            make_as_before(before)
            for begin in range(0, 1000, 50):
                store.add("db", [replace(face(seed), added=None) for seed in range(begin, begin + 50)])
            assert indexed(store) == set()
        with closing(EdgeStore(folder, OURS, 8, index_from=100)) as store:
            await_available(store, "db")  # int8 is made first
            for filters in ({}, {"name": face(7).name}):
                with pytest.raises(StoreError, match="run `facesearch erase --now`"):
                    store.page("db", None, 10, **filters)
            store.add("db", [face(seed) for seed in range(1000, 1100)])
            assert indexed(store) == set(), "nor does it get them while it grows"
            assert store.compact("db", lambda: None)
            assert indexed(store) == {"added", "name", "external_id", "face_count"}
            (found,) = store.page("db", None, 10, name=face(7).name)
            assert found == replace(face(7).person, added=None)
            assert len(store.page("db", None, 2000)) == 1100

    def test_none_is_made_on_a_disk_that_is_nearly_full(
        self, store: EdgeStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(files.EdgeFiles, "free_bytes", lambda _: 2**20)
        assert len(store.page("db", None, 10)) == 10, "its index is there already"
        with pytest.raises(StoreUnavailable, match="MB of disk are free"):
            store.page("db", None, 10, name="Ada")
        with pytest.raises(StoreUnavailable, match="MB of disk are free"):
            store.update("db", face(3).person_id, {"name": "Ada"})
        assert indexed(store) == {"added"}


def test_persons_in_a_data_directory_of_release_0_1_are_listed_and_changed(tmp_path: Path) -> None:
    with tarfile.open(OF_0_1) as archive:
        archive.extractall(tmp_path, filter="data")
    ids = {uuid.UUID(person_id) for person_id in json.loads((tmp_path / "faces.json").read_text()).values()}
    with closing(EdgeStore(tmp_path / "data" / "faces", with_preprocessing(3), 8)) as store:
        listed = [(db, person) for db in store.collections() for person in store.page(db, None, 10)]
        assert len(listed) == 4, "one was deleted"
        assert {person.person_id for _, person in listed} < ids
        assert {person.added for _, person in listed} == {None}
        db, person = listed[0]
        assert store.update(db, person.person_id, {"external_id": "x"})
        new = Point(uuid.uuid4(), "new", unit(1, 128), NOW)
        store.add(db, [new])
        everybody = store.page(db, None, 10)
        assert everybody[-1] == new.person
        assert store.page(db, None, 10, external_id="x") == [replace(person, external_id="x")]
        assert store.compact(db, lambda: None)
        assert store.page(db, None, 10) == everybody


def test_nothing_of_what_was_changed_stays_after_compaction(store: EdgeStore, folder: Path) -> None:
    person = face(5)
    store.update("db", person.person_id, {"name": "Somebody", "metadata": {"note": "Another"}, "external_id": None})
    store.page("db", None, 10, name=person.name)
    assert traces(folder, person.name), "the engine leaves it until the collection is compacted"
    assert store.compact("db", lambda: None)
    assert not traces(folder, person.name)
    assert not traces(folder, '"Note5\\"'), "as the text of metadata is stored"
    assert traces(folder, "Somebody")


UPDATING = """
import sys, uuid
from pathlib import Path
from worker.models.identity import Identity
from worker.store.edge.store import EdgeStore

store = EdgeStore(Path(sys.argv[1]), Identity("sface", "0" * 64, 1, 16), 2, 200)
number = 0
while True:
    number += 1
    person = number % 400
    if number % 50 == 7:
        store.page("db", None, 10, name="Ada")
    assert store.update("db", uuid.UUID(int=person), {"name": f"N{number}", "metadata": {"n": number}})
    sys.stdout.write(f"{person} {number}\\n")
    sys.stdout.flush()
"""


@pytest.mark.slow
@pytest.mark.parametrize("acknowledged", [1, 10, 250, 1000, 3000])
def test_kill_9_loses_no_acknowledged_change(store: EdgeStore, folder: Path, acknowledged: int) -> None:
    store.close()
    with subprocess.Popen([sys.executable, "-c", UPDATING, str(folder)], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        lines = [child.stdout.readline() for _ in range(acknowledged)]
        child.kill()
        lines += child.stdout.readlines()  # lines that it wrote before it died
    last = dict(map(int, line.split()) for line in lines if line.endswith("\n"))
    assert len(lines) >= acknowledged
    with closing(opened(folder)) as again:
        listed = {person.person_id.int: person for person in again.page("db", None, 1000)}
        assert len(listed) == 400
        for number, change in last.items():
            stored = (listed[number].metadata or {})["n"]
            assert stored >= change, "the last change may have been made and not acknowledged"
            assert listed[number].name == f"N{stored}"
            assert again.page("db", None, 10, name=f"N{stored}") == [listed[number]]
