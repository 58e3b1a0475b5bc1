"""Compacting a collection of the embedded store: no bytes of removed faces stay, and nothing else is lost."""

import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from worker.models.identity import Identity
from worker.store.base import PAGE, Point, StoreUnavailable, Vector
from worker.store.edge import files as edge_files
from worker.store.edge.store import EdgeStore

OURS = Identity("sface", "0" * 64, 1, 128)
OTHERS = Identity("other", "1" * 64, 1, 64)

Faces = dict[uuid.UUID, tuple[str, bytes]]


def unit(seed: int, dimension: int = 128) -> Vector:
    vector = np.random.default_rng(seed).standard_normal(dimension)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def face(seed: int, dimension: int = 128) -> Point:
    return Point(uuid.UUID(int=seed), f"Name{seed:06d}x", unit(seed, dimension))


def opened(folder: Path, identity: Identity = OURS, index_from: int = 25_000) -> EdgeStore:
    return EdgeStore(folder, identity, 8, index_from)


def held(store: EdgeStore) -> Faces:
    return {point.person_id: (point.name, point.vector.tobytes()) for point in store.points("db")}


def expected(*seeds: int) -> Faces:
    return {p.person_id: (p.name, p.vector.tobytes()) for p in map(face, seeds)}


def traces(folder: Path, point: Point) -> set[str]:
    """Return the names of files that contain the point's vector or name."""
    wanted = point.vector.tobytes()[64:128], point.name.encode()
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.name for path in files if any(some in path.read_bytes() for some in wanted)}


def no_rest() -> None:
    """Do nothing between two steps."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "faces"


@pytest.fixture
def store(folder: Path) -> Iterator[EdgeStore]:
    with closing(opened(folder)) as store:
        store.add("db", [face(seed) for seed in range(3 * PAGE)])
        yield store


ALL = range(3 * PAGE)


def test_no_bytes_of_a_removed_face_stay(store: EdgeStore, folder: Path) -> None:
    store.delete("db", face(5).person_id)
    assert traces(folder, face(5)), "the engine leaves them until the collection is compacted"
    assert store.compact("db", no_rest)
    assert not traces(folder, face(5))
    assert held(store) == expected(*(seed for seed in ALL if seed != 5))
    assert store.search("db", unit(6), 1, 0.9)[0].cosine == pytest.approx(1, abs=1e-6)


def test_int8_copies_are_rebuilt(folder: Path) -> None:
    with closing(opened(folder, index_from=100)) as store:
        for begin in range(0, 900, 50):
            store.add("db", [face(seed) for seed in range(begin, begin + 50)])
        store.delete("db", face(5).person_id)
        store.compact("db", no_rest)
        assert not traces(folder, face(5))
        with store._shards.use("db") as shard:
            assert shard.engine.info().indexed_vectors_count >= 800
        assert held(store) == expected(*(seed for seed in range(900) if seed != 5))


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(st.tuples(st.booleans(), st.integers(0, 120)), max_size=40), max_size=6))
def test_changes_during_compaction_are_not_lost(
    tmp_path_factory: pytest.TempPathFactory, changes: list[list[tuple[bool, int]]]
) -> None:
    """Faces are added, updated and removed between any two steps."""
    with closing(opened(tmp_path_factory.mktemp("changing") / "faces")) as store:
        store.add("db", [face(seed) for seed in ALL])
        there = set(ALL)
        remaining = iter(changes)

        def change() -> None:
            for added, seed in next(remaining, []):
                if added:
                    store.add("db", [face(seed)])
                    there.add(seed)
                else:
                    store.delete("db", face(seed).person_id)
                    there.discard(seed)

        store.compact("db", change)
        assert held(store) == expected(*there)


def test_a_collection_that_is_dropped_during_compaction_stays_dropped(store: EdgeStore, folder: Path) -> None:
    assert store.compact("db", lambda: store.drop("db"))
    assert store.collections() == []
    assert [path.name for path in folder.iterdir()] == [".lock"]


def test_a_collection_that_is_dropped_and_recreated_during_compaction_is_the_new_one(store: EdgeStore) -> None:
    def replace_collection() -> None:
        store.drop("db")
        store.add("db", [face(1000)])

    store.compact("db", replace_collection)
    assert held(store) == expected(1000)


def test_compacting_an_empty_collection_removes_its_bytes(store: EdgeStore, folder: Path) -> None:
    for seed in ALL:
        store.delete("db", face(seed).person_id)
    store.compact("db", no_rest)
    assert not traces(folder, face(5))
    assert store.count("db") == 0
    store.add("db", [face(5)])
    assert held(store) == expected(5)


def test_faces_of_another_model_are_compacted_unchanged(folder: Path) -> None:
    with closing(opened(folder, OTHERS)) as store:
        store.add("db", [face(seed, 64) for seed in range(3)])
        store.delete("db", face(1).person_id)
    with closing(opened(folder)) as store:
        assert store.compact("db", no_rest)
    with closing(opened(folder, OTHERS)) as store:
        assert not traces(folder, face(1, 64))
        assert {point.person_id for point in store.points("db")} == {face(0).person_id, face(2).person_id}


def test_an_interrupted_compaction_changes_nothing(store: EdgeStore, folder: Path) -> None:
    def give_up() -> None:
        raise KeyError("nobody waits")

    with pytest.raises(KeyError):
        store.compact("db", give_up)
    assert held(store) == expected(*ALL)
    assert sorted(path.name for path in folder.iterdir()) == [".lock", "db"]
    assert store.compact("db", no_rest)


def test_a_collection_is_compacted_once_at_a_time(store: EdgeStore) -> None:
    with pytest.raises(StoreUnavailable, match="being compacted already"):
        store.compact("db", lambda: bool(store.compact("db", no_rest)) and None)


def test_compaction_does_not_begin_without_space_for_a_copy(store: EdgeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge_files.EdgeFiles, "free_bytes", lambda _: 2**20)
    with pytest.raises(StoreUnavailable, match="no room for a copy of db"):
        store.compact("db", no_rest)
    assert store.count("db") == len(ALL)


def test_files_left_by_earlier_compactions_are_removed(store: EdgeStore, folder: Path) -> None:
    (folder / ".tmp-left").mkdir()
    (folder / ".tmp-left" / "bytes").write_bytes(b"x")
    store.compact("db", no_rest)
    assert not (folder / ".tmp-left").exists()


KILLED_AT = """
import os, signal, sys
from contextlib import closing
from pathlib import Path
from worker.models.identity import Identity
from worker.store.edge.store import EdgeStore

folder, last = Path(sys.argv[1]), int(sys.argv[2])
seen = 0


def moment(*_):
    global seen
    seen += 1
    if seen > last:
        os.kill(os.getpid(), signal.SIGKILL)


def hook(event, arguments):
    if event in ("os.rename", "os.mkdir", "os.remove", "os.rmdir", "shutil.rmtree"):
        moment()


with closing(EdgeStore(folder, Identity("sface", "0" * 64, 1, 128), 8)) as store:
    sys.addaudithook(hook)
    store.compact("db", moment)
"""
"""Compacts, and kills itself at the given moment: before a step, or before a change to the folders."""


@pytest.mark.slow
def test_a_kill_at_any_moment_of_compaction_loses_nothing(folder: Path) -> None:
    there = expected(*(seed for seed in ALL if seed != 5))
    with closing(opened(folder)) as store:
        store.add("db", [face(seed) for seed in ALL])
        store.delete("db", face(5).person_id)
    moments, killed = 0, True
    while killed:
        status = subprocess.run([sys.executable, "-c", KILLED_AT, str(folder), str(moments)], check=False).returncode
        killed = status != 0
        assert status in (0, -9)
        with closing(opened(folder)) as store:
            assert held(store) == there, f"killed at moment {moments}"
        moments += 1 if moments < 12 else 5
    assert moments > 12, "too few moments were tried"
    assert not traces(folder, face(5))
