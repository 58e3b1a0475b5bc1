"""What the embedded store remembers of closed facedbs is what is in them, whatever was done to them."""

import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import qdrant_edge as engine

from every_store import OURS, face, unit
from worker.store.base import Counts, Face, Point, Store
from worker.store.edge import counts
from worker.store.edge.store import EdgeStore
from worker.store.faces import with_faces, without_face
from worker.store.memory import MemoryStore

DBS = ["a", "b", "c"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "faces"


def opened(folder: Path, open_limit: int = 1) -> EdgeStore:
    return EdgeStore(folder, OURS, open_limit)


@pytest.fixture
def closed(folder: Path) -> Iterator[Path]:
    """A folder with the closed facedbs a, of three persons, and b, of one person with two faces."""
    with closing(opened(folder)) as store:
        store.add("a", [face(seed) for seed in range(3)])
        store.add("b", [point := face(1)])
        give(store, "b", point)
    return folder


def give(store: Store, db: str, point: Point) -> None:
    """Give a person another face, if the person is there."""
    for read in store.get(db, [point.person_id]):
        added = face(len(read.faces) + 7)
        store.replace(db, read, with_faces(read, [*read.faces, Face(added.person_id, added.vector)]))


def take(store: Store, db: str, point: Point) -> None:
    """Take the first face from a person, if the person is there."""
    for read in store.get(db, [point.person_id]):
        store.replace(db, read, without_face(read, read.faces[0].face_id))


CHANGES: dict[str, Callable[[Store, str, Point], object]] = {
    "add": lambda store, db, point: store.add(db, [point]),
    "delete": lambda store, db, point: store.delete(db, point.person_id),
    "give": give,
    "take": take,
    "drop": lambda store, db, _: store.drop(db),
    "compact": lambda store, db, _: store.compact(db, lambda: None),
}


def counted(folder: Path) -> list[Counts]:
    with closing(opened(folder)) as store:
        return list(store.counts(["a", "b"]))


def test_closed_facedbs_are_counted_without_being_opened(closed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(opened(closed)) as store:
        monkeypatch.setattr(engine, "EdgeShard", None)
        assert list(store.counts(["a", "b", "none"])) == [Counts(3, 3), Counts(1, 2), Counts(0, 0)]


def test_counts_are_right_after_any_history(folder: Path) -> None:
    choose = random.Random(7)  # noqa: S311 -- no secret
    reference, store = MemoryStore(OURS), opened(folder)
    for number in range(50):
        db, what = choose.choice(DBS), choose.choice([*CHANGES, "reopen"])
        if what == "reopen":
            store.close()
            store = opened(folder)
        else:
            there = list(reference.points(db))
            point = choose.choice(there) if there and what != "add" else face(number)
            for each in (store, reference):
                CHANGES[what](each, db, point)
        assert list(store.counts(DBS)) == list(reference.counts(DBS)), f"step {number}, {what} in {db}"
    store.close()


ADDING = """
import os, sys
from pathlib import Path
from every_store import OURS, face
from worker.store.edge.store import EdgeStore

store = EdgeStore(Path(sys.argv[1]), OURS, open_limit=8)
store.add("a", [face(1), face(2)])
os._exit(0)
"""


def test_what_a_killed_process_added_is_counted(closed: Path) -> None:
    paths = os.pathsep.join(sys.path)
    subprocess.run([sys.executable, "-c", ADDING, str(closed)], check=True, env=os.environ | {"PYTHONPATH": paths})
    assert counted(closed) == [Counts(5, 5), Counts(1, 2)]


def test_a_shard_that_was_opened_without_forgetting_is_counted_anew(closed: Path) -> None:
    """As an earlier release does, to which one has gone back for a while."""
    shard = engine.EdgeShard.load(str(closed / "a" / "shard"))
    more = face(9)
    shard.update(engine.UpdateOperation.upsert_points([engine.Point(str(more.person_id), unit(9).tolist(), {})]))
    remembered = (closed / "a" / counts.FILE).read_bytes()
    shard.close()
    assert counted(closed)[0] == Counts(4, 4)
    (closed / "a" / counts.FILE).write_bytes(remembered)  # as a power failure may leave it
    assert counted(closed)[0] == Counts(4, 4)


@pytest.mark.parametrize(
    "content", [b"", b"\0" * 50, b'{"persons": 3, "fa', b"[]", b'{"persons":9,"faces":9,"opening":null}']
)
def test_counts_that_are_damaged_do_not_matter(closed: Path, content: bytes) -> None:
    (closed / "a" / counts.FILE).write_bytes(content)
    assert counted(closed) == [Counts(3, 3), Counts(1, 2)]


def test_nothing_is_remembered_of_a_facedb_that_is_open(closed: Path) -> None:
    with closing(opened(closed)) as store:
        store.search("a", unit(1), 1, 0)
        assert not (closed / "a" / counts.FILE).exists()
        store.search("b", unit(1), 1, 0)
        assert (closed / "a" / counts.FILE).exists()
