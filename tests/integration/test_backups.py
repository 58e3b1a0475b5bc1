"""A worker writes the faces of a backup that is asked for, and whoever asked learns how it ended, whatever happens."""

import errno
import os
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from redis import Redis

from facesearch.archive import asking
from processes import wait_for
from shared.backup import REMEMBER_S, REQUEST, Progress, Request, faces_path, progress_key
from shared.errors import OperatorError
from shared.presence import WORKERS, Presence, presence_key
from worker import backups
from worker.backups import Backups
from worker.models.identity import Identity
from worker.store import faces_file
from worker.store.base import PAGE, Point, StoreUnavailable
from worker.store.memory import MemoryStore

OURS = Identity("sface", "0" * 64, 1, 4)


def faces(count: int) -> list[Point]:
    return [Point(uuid.uuid4(), str(number), np.eye(4, dtype=np.float32)[0]) for number in range(count)]


class Held(MemoryStore):
    """A store whose points wait for a signal once a page has been read."""

    def __init__(self) -> None:
        super().__init__(OURS)
        self.reached, self.go = threading.Event(), threading.Event()
        self.broken = False

    def points(self, collection: str) -> Iterator[Point]:
        for number, point in enumerate(super().points(collection)):
            if number == PAGE:
                self.reached.set()
                assert self.go.wait(30)
                if self.broken:
                    raise StoreUnavailable("the disk is gone")
            yield point


@pytest.fixture
def redis(valkey_url: str) -> Iterator[Redis]:
    with Redis.from_url(valkey_url) as client:
        yield client


@pytest.fixture
def store() -> Held:
    return Held()


@pytest.fixture
def worker(redis: Redis, store: Held) -> Iterator[Backups]:
    worker = Backups(redis, store)
    worker.start()
    yield worker
    store.go.set()
    worker.stop()


working = pytest.mark.usefixtures("worker")
"""A worker looks for backups meanwhile."""


class Asking:
    """Somebody who waits for a backup in a thread of their own."""

    def __init__(self, redis: Redis, folder: Path, collections: list[str]) -> None:
        self.said: list[str] = []
        self.ended: Progress | None = None
        self.error = ""
        self._thread = threading.Thread(target=self._ask, args=(redis, folder, collections))
        self._thread.start()

    def _ask(self, redis: Redis, folder: Path, collections: list[str]) -> None:
        try:
            self.ended = asking.write_faces(redis, folder, collections, self.said.append)
        except OperatorError as error:
            self.error = str(error)

    def join(self) -> None:
        self._thread.join(30)
        assert not self._thread.is_alive()


@working
def test_every_collection_is_written(redis: Redis, store: Held, tmp_path: Path) -> None:
    store.go.set()
    held = {"t.a": faces(2 * PAGE + 1), "t.b": faces(1), "t.empty": []}
    for collection, points in held.items():
        store.add(collection, points)
    ended = asking.write_faces(redis, tmp_path, list(held), print)
    assert ended == Progress(state="done", collections=3, faces=2 * PAGE + 2)
    for collection, points in held.items():
        read = faces_file.read(faces_path(tmp_path, collection))
        assert [point.person_id for point in read] == [point.person_id for point in points]
    assert not redis.exists(REQUEST)
    assert all(0 < redis.ttl(key) <= REMEMBER_S for key in redis.scan_iter(f"{REQUEST}*"))


@working
def test_who_waits_is_told_how_far_it_is(
    redis: Redis, store: Held, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "SAY_EVERY_S", 0)
    store.add("t.a", faces(2 * PAGE))
    waiting = Asking(redis, tmp_path, ["t.a"])
    assert store.reached.wait(30)
    wait_for(lambda: bool(waiting.said))
    store.go.set()
    waiting.join()
    assert waiting.said[0].endswith("faces of 0 of 1 facedbs …")


@working
def test_one_at_a_time(redis: Redis, store: Held, tmp_path: Path) -> None:
    store.add("t.a", faces(PAGE + 1))
    first = Asking(redis, tmp_path, ["t.a"])
    assert store.reached.wait(30)
    with pytest.raises(OperatorError, match="another backup of this service is being written"):
        asking.write_faces(redis, tmp_path, ["t.a"], print)
    store.go.set()
    first.join()
    assert first.ended is not None


@working
def test_two_workers_write_it_once(redis: Redis, store: Held, tmp_path: Path) -> None:
    store.go.set()
    other = Backups(redis, store)
    other.start()
    store.add("t.a", faces(1))
    assert asking.write_faces(redis, tmp_path, ["t.a"], print).state == "done"
    other.stop()


@working
def test_a_folder_that_cannot_be_written(redis: Redis, tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match=rf"cannot write to {tmp_path}/none \(No such file or directory\)"):
        asking.write_faces(redis, tmp_path / "none", ["t.a"], print)
    (tmp_path / "t.a.jsonl").write_text("theirs")
    with pytest.raises(OperatorError, match="File exists"):
        asking.write_faces(redis, tmp_path, ["t.a"], print)
    assert (tmp_path / "t.a.jsonl").read_text() == "theirs"


@working
def test_a_full_disk(redis: Redis, store: Held, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store.go.set()
    store.add("t.a", faces(3))

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OperatorError, match="No space left on device"):
        asking.write_faces(redis, tmp_path, ["t.a"], print)


@working
def test_a_store_that_fails(redis: Redis, store: Held, tmp_path: Path) -> None:
    store.broken = True
    store.go.set()
    store.add("t.a", faces(PAGE + 1))
    with pytest.raises(OperatorError, match="could not write the faces: the disk is gone"):
        asking.write_faces(redis, tmp_path, ["t.a"], print)


def test_a_worker_that_is_stopped_says_so(redis: Redis, store: Held, worker: Backups, tmp_path: Path) -> None:
    store.add("t.a", faces(PAGE + 1))
    waiting = Asking(redis, tmp_path, ["t.a"])
    assert store.reached.wait(30)
    stopping = threading.Thread(target=worker.stop)
    stopping.start()
    wait_for(worker._ending.is_set)
    store.go.set()
    stopping.join()
    waiting.join()
    assert waiting.error == "the worker could not write the faces: the worker was stopped"


def test_a_worker_that_was_killed(redis: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "SILENT_S", 0.5)
    with pytest.raises(OperatorError, match="no worker takes the backup up"):
        asking.write_faces(redis, tmp_path, ["t.a"], print)
    waiting = Asking(redis, tmp_path, ["t.a"])
    wait_for(lambda: bool(redis.exists(REQUEST)))
    request = Request.model_validate_json(redis.get(REQUEST))
    redis.set(progress_key(request.id), Progress(faces=3).model_dump_json())
    waiting.join()
    assert waiting.error.startswith("the worker that wrote the faces is gone")
    assert not redis.exists(REQUEST)


def test_nobody_takes_up_what_a_killed_worker_began(redis: Redis, worker: Backups, tmp_path: Path) -> None:
    request = Request(id=uuid.uuid4().hex, folder=str(tmp_path), collections=["t.a"])
    redis.set(progress_key(request.id), Progress().model_dump_json())
    redis.set(REQUEST, request.model_dump_json())
    worker.look()
    assert not faces_path(tmp_path, "t.a").exists()


@working
def test_when_nobody_waits_any_more_the_worker_stops(
    redis: Redis, store: Held, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backups, "TELL_INTERVAL_S", 0)
    store.add("t.a", faces(3 * PAGE))
    request = Request(id=uuid.uuid4().hex, folder=str(tmp_path), collections=["t.a"])
    redis.set(REQUEST, request.model_dump_json())
    assert store.reached.wait(30)
    redis.delete(REQUEST)
    store.go.set()

    def ended() -> bool:
        return Progress.model_validate_json(redis.get(progress_key(request.id))).state == "failed"

    wait_for(ended)
    progress = Progress.model_validate_json(redis.get(progress_key(request.id)))
    assert progress.reason == "nobody waits for it any more"
    assert progress.faces < 3 * PAGE


def test_a_request_of_another_release_is_left(redis: Redis, worker: Backups) -> None:
    redis.set(REQUEST, "{}")
    worker.look()
    assert redis.keys(f"{REQUEST}:*") == []


@working
def test_who_was_held_up_for_too_long_learns_it(
    redis: Redis, store: Held, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "RENEW_EVERY_S", 0)
    store.add("t.a", faces(PAGE + 1))
    waiting = Asking(redis, tmp_path, ["t.a"])
    assert store.reached.wait(30)
    redis.set(REQUEST, "somebody else's")
    waiting.join()
    assert "held up for too long" in waiting.error
    assert redis.get(REQUEST) == b"somebody else's"


def test_whether_there_is_a_worker(redis: Redis) -> None:
    assert not asking.alive(redis)
    redis.sadd(WORKERS, "one")
    assert not asking.alive(redis)
    redis.set(presence_key("one"), Presence(store="ok", embedder="x").model_dump_json())
    assert asking.alive(redis)
