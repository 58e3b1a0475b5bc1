"""The files of Qdrant Edge: after restarts, killed processes, damage, and with a second process."""

import json
import shutil
import subprocess
import sys
import uuid
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from processes import wait_for
from shared.errors import OperatorError
from worker.models.identity import Identity
from worker.store.base import Point, StoreError, StoreUnavailable, Vector
from worker.store.edge import files, indexes, tending
from worker.store.edge.store import EdgeStore

OURS = Identity("sface", "0" * 64, 1, 16)


def unit(seed: int) -> Vector:
    vector = np.random.default_rng(seed).standard_normal(16)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def face(seed: int, name: str = "") -> Point:
    return Point(uuid.uuid4(), name, unit(seed))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data" / "faces"


def opened(folder: Path, open_limit: int = 8) -> EdgeStore:
    return EdgeStore(folder, OURS, open_limit)


class TestPowerFailure:
    """A power failure is simulated by the files that a disk may then hold: the log as it was synced, and all else
    older.
    """

    def test_sync_always_syncs_the_log_before_the_acknowledgement(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        synced: list[Path] = []
        with closing(EdgeStore(folder, OURS, 8, sync=True)) as store:
            point = face(1)
            store.add("db", [point])
            monkeypatch.setattr(files, "sync", synced.append)
            store.add("db", [face(2)])
            assert folder / "db" / "shard" / "wal" in synced
            synced.clear()
            store.delete("db", point.person_id)
            assert folder / "db" / "shard" / "wal" in synced

    def test_otherwise_changed_logs_alone_are_synced_within_a_second(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with closing(opened(folder)) as store:
            store.add("db", [face(1)])
            store.add("other", [face(1)])
        with closing(opened(folder)) as store:
            synced: list[Path] = []
            monkeypatch.setattr(files, "sync", synced.append)
            store.add("db", [face(2)])
            wait_for(lambda: folder / "db" / "shard" / "wal" in synced)
            store.search("other", unit(1), 1, 0)
            store.drop("db")
            assert not any("other" in path.parts for path in synced)

    def test_everything_is_restored_from_the_log_alone(self, folder: Path, tmp_path: Path) -> None:
        old = tmp_path / "old" / "faces"
        with closing(opened(folder)) as store:
            first = [face(seed) for seed in range(20)]
            store.add("db", first)
            with store._shards.use("db") as shard:
                shard.engine.flush()
            shutil.copytree(folder, old)
            store.add("db", [face(seed) for seed in range(20, 60)])
            store.delete("db", first[0].person_id)
            shutil.rmtree(old / "db" / "shard" / "wal")
            shutil.copytree(folder / "db" / "shard" / "wal", old / "db" / "shard" / "wal")
        with closing(opened(old)) as store:
            assert store.count("db") == 59
            assert not store.contains("db", first[0].person_id)


def open_shards(folder: Path) -> set[str]:
    """Return the collections of which this process has a file mapped."""
    maps = Path("/proc/self/maps").read_text().splitlines()
    return {Path(line.split(maxsplit=5)[5]).relative_to(folder).parts[0] for line in maps if f"{folder}/" in line}


CHILD = """
import sys, threading, uuid, numpy as np
from pathlib import Path
from worker.models.identity import Identity
from worker.store.base import Point
from worker.store.edge.store import EdgeStore

store = EdgeStore(Path(sys.argv[1]), Identity("sface", "0" * 64, 1, 16), 2)
axis = np.eye(16, dtype=np.float32)[0]

def add(thread):
    number = 0
    while True:
        ids = [uuid.uuid4() for _ in range(3)]
        collection = f"db{number // 40}"  # so that some adds make a collection and some reopen one
        store.add(collection, [Point(i, "", axis) for i in ids])
        sys.stdout.write("".join(f"{collection} {i}\\n" for i in ids))
        sys.stdout.flush()
        number += 1

for thread in range(2):
    threading.Thread(target=add, args=[thread]).start()
"""


@pytest.mark.slow
@pytest.mark.parametrize("acknowledged", [1, 10, 250, 1000, 3000])
def test_kill_9_loses_no_acknowledged_point(folder: Path, acknowledged: int) -> None:
    with subprocess.Popen([sys.executable, "-c", CHILD, str(folder)], stdout=subprocess.PIPE, text=True) as child:
        lines = [child.stdout.readline() for _ in range(acknowledged)]
        child.kill()
        lines += child.stdout.readlines()  # lines that it wrote before it died
    points = [line.split() for line in lines if line.endswith("\n")]
    assert len(points) >= acknowledged

    store = opened(folder)
    lost = [point for collection, point in points if not store.contains(collection, uuid.UUID(point))]
    assert lost == []
    for collection in store.collections():
        store.add(collection, [face(1, "after")])
        assert [m.name for m in store.search(collection, unit(1), 1, 0.99)] == ["after"]
    store.close()
    assert not list(folder.glob(".tmp-*"))


HOLDER = """
import sys
from pathlib import Path
from worker.models.identity import Identity
from worker.store.edge.store import EdgeStore

store = EdgeStore(Path(sys.argv[1]), Identity("sface", "0" * 64, 1, 16), 2)
print("open", flush=True)
sys.stdin.read()
"""


def test_a_second_process_is_refused_until_the_first_has_ended(folder: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout.readline() == "open\n"
        with pytest.raises(OperatorError) as refused:
            opened(folder)
        assert str(folder) in str(refused.value)
        assert f"pid {child.pid}" in str(refused.value)
        assert "\n" not in str(refused.value)
        child.kill()
    opened(folder).close()


def test_a_second_store_in_the_same_process_is_refused(folder: Path) -> None:
    first = opened(folder)
    with pytest.raises(OperatorError):
        opened(folder)
    first.close()
    opened(folder).close()


def test_a_folder_that_cannot_be_created_is_an_operator_error(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    with pytest.raises(OperatorError, match="data"):
        opened(tmp_path / "data" / "faces")


def test_a_reopened_store_is_unchanged(folder: Path) -> None:
    store = opened(folder)
    stays, goes = face(1, "stays"), face(1, "goes")
    store.add("db", [stays, goes])
    store.delete("db", goes.person_id)
    store.add("dropped", [face(2)])
    store.drop("dropped")
    store.close()

    store = opened(folder)
    assert store.collections() == ["db"]
    (match,) = store.search("db", unit(1), 50, 0)
    assert (match.person_id, match.name) == (stays.person_id, "stays")
    store.close()


def test_there_may_be_more_collections_than_open_ones(folder: Path) -> None:
    store = opened(folder, open_limit=2)
    points = {f"db{number}": face(number, f"P{number}") for number in range(6)}
    for _ in range(2):
        for name, point in points.items():
            store.add(name, [point])
            assert len(open_shards(folder)) <= 2
    for name, point in points.items():
        assert [m.name for m in store.search(name, point.vector, 50, 0.99)] == [point.name]
    assert open_shards(folder) == {"db4", "db5"}
    store.close()
    assert open_shards(folder) == set()


def test_half_created_and_half_removed_collections_are_removed_at_the_start(folder: Path) -> None:
    leftover = folder / f"{files._TEMPORARY}1" / "shard"
    leftover.mkdir(parents=True)
    (leftover / "edge_config.json").write_text("half of i")
    store = opened(folder)
    assert not leftover.exists()
    assert store.collections() == []
    store.close()


def test_a_collection_that_cannot_be_created_leaves_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_space(*_: object) -> None:
        raise Exception("Service runtime error: No space left on device (os error 28)")  # noqa: TRY002 - as Edge does

    store = opened(folder)
    with monkeypatch.context() as patch:
        patch.setattr(indexes.engine, "EdgeShard", type("Full", (), {"create": no_space}))
        with pytest.raises(StoreUnavailable, match="No space left"):
            store.add("db", [face(1)])
    assert [path.name for path in folder.iterdir()] == [".lock"]
    store.add("db", [face(1)])
    store.close()


def test_a_nearly_full_disk_refuses_adds_and_answers_searches(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = opened(folder)
    point = face(1, "Ada")
    store.add("db", [point])
    monkeypatch.setattr(tending, "MIN_FREE_BYTES", 2 * shutil.disk_usage(folder).total)
    with pytest.raises(StoreUnavailable, match="free"):
        store.add("db", [face(2)])
    assert store.count("db") == 1
    assert [m.name for m in store.search("db", unit(1), 50, 0)] == ["Ada"]
    store.delete("db", point.person_id)
    store.close()


def test_a_flush_between_operations_changes_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tending, "FLUSH_EVERY", 3)
    store = opened(folder)
    for number in range(10):
        store.add("db", [face(number)])
    store.close()
    store = opened(folder)
    assert store.count("db") == 10
    store.close()


def damage_record(folder: Path) -> None:
    (folder / "collection.json").write_text('{"collection": "dama')


def remove_record(folder: Path) -> None:
    (folder / "collection.json").unlink()


def damage_identity(folder: Path) -> None:
    (folder / "collection.json").write_text(json.dumps({"collection": "damaged", "identity": None}))


def rename_inside(folder: Path) -> None:
    (folder / "collection.json").write_text(json.dumps({"collection": "Damaged", "identity": str(OURS)}))


def damage_config(folder: Path) -> None:
    (folder / "shard" / "edge_config.json").write_text("{")


def damage_log(folder: Path) -> None:
    log = next((folder / "shard" / "wal").glob("open-*"))
    log.write_bytes(b"\xff" * 100 + log.read_bytes()[100:])


def cut_segment(folder: Path) -> None:
    """Qdrant Edge panics on this one instead of raising an error."""
    for path in (folder / "shard" / "segments").glob("*/vector_storage/vectors/*"):
        path.write_bytes(path.read_bytes()[:3])


def remove_shard(folder: Path) -> None:
    shutil.rmtree(folder / "shard")


@pytest.mark.parametrize(
    "damage",
    [
        damage_record,
        remove_record,
        damage_identity,
        rename_inside,
        damage_config,
        damage_log,
        cut_segment,
        remove_shard,
    ],
)
def test_a_damaged_collection_is_reported_and_the_others_work(folder: Path, damage: object) -> None:
    store = opened(folder)
    for name in ("damaged", "sound"):
        store.add(name, [face(1, name)])
    store.close()
    damage(folder / "damaged")

    store = opened(folder)
    for _ in range(2):
        with pytest.raises(StoreError) as raised:
            store.search("damaged", unit(1), 50, 0)
        assert str(folder / "damaged") in str(raised.value)
        with pytest.raises(StoreError):
            store.add("damaged", [face(1)])
    assert [m.name for m in store.search("sound", unit(1), 50, 0)] == ["sound"]
    assert store.collections() == ["damaged", "sound"]

    store.drop("damaged")
    store.add("damaged", [face(1, "anew")])
    assert [m.name for m in store.search("damaged", unit(1), 50, 0)] == ["anew"]
    store.close()


@pytest.mark.parametrize("name", ["", ".", "..", "../up", "a/b", ".lock", "a\n", "x" * 201, "/etc", "ä"])
def test_no_name_of_a_collection_leads_out_of_the_folder(folder: Path, name: str) -> None:
    store = opened(folder)
    for call in (
        lambda: store.add(name, [face(1)]),
        lambda: store.search(name, unit(1), 50, 0),
        lambda: store.drop(name),
        lambda: store.count(name),
    ):
        with pytest.raises(StoreError, match="cannot be the name"):
            call()
    store.close()
    assert [path.name for path in folder.iterdir()] == [".lock"]


def test_the_longest_and_oddest_names_are_kept(folder: Path) -> None:
    names = sorted(["lock", "shard", "-", "tenant.facedb", f"{'t' * 64}.{'f' * 64}.01234567"])
    store = opened(folder)
    for name in names:
        store.add(name, [face(1)])
    assert store.collections() == names
    store.close()
