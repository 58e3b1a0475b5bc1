"""The segments of large collections of the embedded store, scaled down: int8 copies from a hundred faces on."""

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import qdrant_edge as engine
from structlog.testing import capture_logs

from worker.models.identity import Identity
from worker.store.base import Point, Store, StoreUnavailable
from worker.store.edge import background_indexing, segments
from worker.store.edge.files import EdgeFiles
from worker.store.edge.store import EdgeStore
from worker.store.memory import MemoryStore

DIMENSION = 64
OURS = Identity("sface", "0" * 64, 1, DIMENSION)
INDEX_FROM = 200
LIMIT = 10


def faces(first: int, count: int, name: str = "") -> list[Point]:
    """Return points with ids first, first + 1, ...; another name gives other vectors."""
    random = np.random.default_rng([first, len(name)])
    vectors = random.standard_normal((count, DIMENSION)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return [Point(uuid.UUID(int=first + n), name, vector) for n, vector in enumerate(vectors)]


def opened(folder: Path, index_from: int = INDEX_FROM) -> EdgeStore:
    return EdgeStore(folder, OURS, 8, index_from)


def indexed(store: EdgeStore) -> int:
    with store._shards.use("db") as shard:
        return shard.engine.info().indexed_vectors_count


def not_indexed(store: EdgeStore) -> int:
    with store._shards.use("db") as shard:
        return segments.not_indexed(shard.engine)


def recall(store: Store, reference: Store) -> float:
    """Return the recall of the best LIMIT of the reference, over 50 searches. All matches must be in the reference,
    with its cosine.
    """
    hits = 0
    for asked in faces(10**9, 50):
        best = {match.person_id for match in reference.search("db", asked.vector, LIMIT, -1)}
        everything = {match.person_id: match for match in reference.search("db", asked.vector, 10**6, -1)}
        found = store.search("db", asked.vector, LIMIT, -1)
        assert len(found) == LIMIT
        assert all(match.name == everything[match.person_id].name for match in found)
        expected = [everything[match.person_id].cosine for match in found]
        assert [match.cosine for match in found] == pytest.approx(expected, abs=1e-6)
        hits += len(best & {match.person_id for match in found})
    return hits / 50 / LIMIT


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "faces"


@pytest.fixture
def store(folder: Path) -> Iterator[EdgeStore]:
    with closing(opened(folder)) as made:
        yield made


def test_a_growing_collection_gets_int8_copies_and_keeps_its_recall(store: EdgeStore) -> None:
    reference = MemoryStore(OURS)
    for first in range(0, 5 * INDEX_FROM, 10):
        for each in (store, reference):
            each.add("db", faces(first, 10))
        assert not_indexed(store) < 2 * INDEX_FROM
    assert indexed(store) >= 4 * INDEX_FROM
    assert recall(store, reference) >= 0.99


def test_a_small_collection_is_searched_exactly(store: EdgeStore) -> None:
    reference = MemoryStore(OURS)
    for each in (store, reference):
        each.add("db", faces(0, INDEX_FROM - 1))
    assert indexed(store) == 0
    assert recall(store, reference) == 1


def test_changes_to_an_indexed_collection_are_found(folder: Path) -> None:
    reference = MemoryStore(OURS)
    with closing(opened(folder)) as store:
        for each in (store, reference):
            for first in range(0, 3 * INDEX_FROM, 100):
                each.add("db", faces(first, 100))
            each.add("db", faces(100, 50, "overwritten"))
            each.add("db", faces(10_000, 30, "late"))
            for number in range(200, 240):
                each.delete("db", uuid.UUID(int=number))
        assert indexed(store) > 0
        assert store.count("db") == reference.count("db")
        assert recall(store, reference) >= 0.99
    with closing(opened(folder)) as store:
        assert store.count("db") == reference.count("db")
        assert recall(store, reference) >= 0.99


def test_many_adds_and_removals_lose_nothing_and_keep_few_segments(store: EdgeStore) -> None:
    """Five times the size of the collection is added and removed."""
    reference, size = MemoryStore(OURS), 2 * INDEX_FROM
    for first in range(0, 5 * size, 20):
        for each in (store, reference):
            each.add("db", faces(first, 20))
            for number in range(first - size, first - size + 20) if first >= size else ():
                each.delete("db", uuid.UUID(int=number))
    assert store.count("db") == reference.count("db") == size
    assert recall(store, reference) >= 0.99
    with store._shards.use("db") as shard:
        assert shard.engine.info().segments_count <= 8
    assert not_indexed(store) < 2 * INDEX_FROM


CHILD = """
import signal, sys, uuid, numpy as np
from pathlib import Path
from worker.models.identity import Identity
from worker.store.base import Point
from worker.store.edge.store import EdgeStore

store = EdgeStore(Path(sys.argv[1]), Identity("sface", "0" * 64, 1, 64), 2, 4000)
number, moment = int(sys.argv[2]), float(sys.argv[3])
random = np.random.default_rng(number)
changed = store._tending.changed

def doomed(*change):
    signal.setitimer(signal.ITIMER_REAL, moment)
    changed(*change)
    signal.setitimer(signal.ITIMER_REAL, 0)

def say(*words):
    sys.stdout.write(" ".join(map(str, words)) + "\\n")
    sys.stdout.flush()

store._tending.changed = doomed
while True:
    vectors = random.standard_normal((50, 64)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    say("adding", number)
    store.add("db", [Point(uuid.UUID(int=number + n), "", vector) for n, vector in enumerate(vectors)])
    say("added", number)
    for gone in range(number, number + 2):
        say("deleting", gone)
        store.delete("db", uuid.UUID(int=gone))
        say("deleted", gone)
    number += 50
"""
"""Adds and deletes until optimising first takes longer than a moment, which is when there is work to do; then an alarm
kills it at once, without waiting for the interpreter.
"""


@pytest.mark.slow
def test_a_kill_during_optimising_loses_nothing_and_restores_no_deleted_face(folder: Path) -> None:
    there: set[int] = set()
    gone: set[int] = set()
    for turn, moment in enumerate([0.002, 0.005, 0.01, 0.015, 0.02]):
        command = [sys.executable, "-c", CHILD, str(folder), str(turn * 10**6 + 1), str(moment)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == -signal.SIGALRM, done.stderr
        doubtful: set[int] = set()  # possibly done, but not acknowledged
        for word, number in (line.split() for line in done.stdout.splitlines()):
            face = int(number)
            match word:
                case "added":
                    there |= set(range(face, face + 50))
                case "deleting":
                    doubtful = {face}
                case "deleted":
                    doubtful = set()
                    there.discard(face)
                    gone.add(face)
        there -= doubtful
        with closing(EdgeStore(folder, OURS, 8, 10**6)) as store:  # reads, and leaves optimising to the next turn
            assert missing(store, there) == set()
            assert missing(store, gone) == gone
    with closing(opened(folder, 4000)) as store:
        store.add("db", faces(10**8, 100))
        assert indexed(store) > 0
        assert missing(store, there) == set()
        assert missing(store, gone) == gone


def missing(store: EdgeStore, numbers: Iterable[int]) -> set[int]:
    return {number for number in numbers if not store.contains("db", uuid.UUID(int=number))}


def test_closing_during_adds_keeps_every_acknowledged_face(folder: Path) -> None:
    store = opened(folder)
    acknowledged: list[Point] = []

    def add(thread: int) -> None:
        number = thread * 10**6
        while True:
            new = faces(number, 20)
            try:
                store.add("db", new)
            except StoreUnavailable:
                return
            acknowledged.extend(new)
            number += 20

    with ThreadPoolExecutor(3) as pool:
        adding = [pool.submit(add, thread) for thread in range(3)]
        while len(acknowledged) < 10 * INDEX_FROM:
            store.count("db")
        store.close()
        for done in adding:
            done.result(30)
    with closing(opened(folder)) as store:
        assert missing(store, (point.person_id.int for point in acknowledged)) == set()
        assert indexed(store) > 0


class Failing:
    """An open shard whose optimiser fails."""

    def __init__(self, shard: engine.EdgeShard) -> None:
        self._shard = shard

    def __getattr__(self, name: str) -> object:
        return getattr(self._shard, name)

    def optimize(self) -> bool:
        raise Exception("Service runtime error: out of luck")  # noqa: TRY002 - as Edge does


def test_a_failing_optimiser_is_logged_and_the_collection_works(store: EdgeStore) -> None:
    reference = MemoryStore(OURS)
    for each in (store, reference):
        each.add("db", faces(0, 20))
    with store._shards.use("db") as shard:
        shard.engine = Failing(shard.engine)
    with capture_logs() as logs:
        for each in (store, reference):
            each.add("db", faces(20, 2 * INDEX_FROM - 21))
            each.delete("db", uuid.UUID(int=3))
    events = {(line["event"], line["log_level"], line["collection"]) for line in logs}
    assert events == {("collection_not_indexed", "warning", "db")}
    assert "out of luck" in logs[0]["reason"]
    assert recall(store, reference) == 1


def test_a_nearly_full_disk_prevents_optimising(store: EdgeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EdgeFiles, "free_bytes", lambda _: 200 * 2**20)
    store.add("db", faces(0, INDEX_FROM))
    assert indexed(store) == 0
    monkeypatch.undo()
    store.add("db", faces(INDEX_FROM, 10))
    assert indexed(store) == INDEX_FROM + 10


def make_old_collection(folder: Path, points: list[Point]) -> None:
    """Create a collection as the store made it before int8."""
    config = engine.EdgeConfig(
        vectors=engine.EdgeVectorParams(size=DIMENSION, distance=engine.Distance.Cosine),
        max_search_threads=1,
        wal_enabled=True,
    )

    def fill(path: Path) -> None:
        shard = engine.EdgeShard.create(str(path), config)
        shard.update(
            engine.UpdateOperation.upsert_points(
                [engine.Point(str(point.person_id), point.vector.tolist(), {"name": point.name}) for point in points]
            )
        )
        shard.close()

    files = EdgeFiles(folder)
    files.make("db", str(OURS), fill)
    files.release()


@pytest.mark.parametrize("count", [INDEX_FROM // 2, INDEX_FROM, 5 * INDEX_FROM])
def test_a_collection_of_an_older_release_is_used_and_indexed(folder: Path, count: int) -> None:
    reference, old = MemoryStore(OURS), faces(0, count, "old")
    make_old_collection(folder, old)
    reference.add("db", old)
    for turn in range(2):
        with closing(opened(folder)) as store:
            for each in (store, reference):
                each.add("db", faces(10_000 + 10 * turn, 10, "new"))
            assert store.count("db") == count + 10 * (turn + 1)
            assert recall(store, reference) >= 0.99
            assert not_indexed(store) <= INDEX_FROM
            assert (indexed(store) > 0) is (count >= INDEX_FROM)


def test_a_large_old_collection_is_optimised_once_by_another_process(folder: Path) -> None:
    make_old_collection(folder, faces(0, 5 * INDEX_FROM))
    for expected in (["collection_indexed"], []):
        with closing(opened(folder)) as store, capture_logs() as logs:
            assert store.count("db") == 5 * INDEX_FROM
            assert [line["event"] for line in logs] == expected
            assert indexed(store) == 5 * INDEX_FROM


def test_calls_fail_soon_while_that_process_runs_and_a_drop_ends_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_old_collection(folder, faces(0, 5 * INDEX_FROM))
    monkeypatch.setattr(background_indexing, "WAIT_S", 0.1)
    reading, writing = os.pipe()
    never_ends = subprocess.Popen(["cat"], stdin=reading)
    monkeypatch.setattr(segments, "start_optimizer", lambda *_: never_ends)
    with closing(opened(folder)) as store:
        for _ in range(2):
            with pytest.raises(StoreUnavailable, match="being indexed"):
                store.count("db")
        assert never_ends.poll() is None
        store.drop("db")
        assert never_ends.poll() is not None
        assert store.count("db") == 0
    os.close(reading)
    os.close(writing)


def test_search_is_exact_if_that_process_fails(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reference, old = MemoryStore(OURS), faces(0, 5 * INDEX_FROM)
    make_old_collection(folder, old)
    reference.add("db", old)
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with closing(opened(folder)) as store, capture_logs() as logs:
        for each in (store, reference):
            each.add("db", faces(10_000, 10))
        assert [line["event"] for line in logs] == ["collection_not_indexed"]
        assert indexed(store) == 0
        assert recall(store, reference) == 1


def test_an_old_collection_of_another_identity_is_not_changed(folder: Path) -> None:
    make_old_collection(folder, faces(0, 5 * INDEX_FROM))
    with closing(EdgeStore(folder, Identity("other", "0" * 64, 1, 16), 8, INDEX_FROM)) as store:
        assert store.count("db") == 5 * INDEX_FROM
    assert "int8" not in (folder / "db/shard/edge_config.json").read_text()
