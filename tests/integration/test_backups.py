"""A worker writes the faces of a requested backup, and the command always learns the result."""

import errno
import json
import os
import shutil
import stat
import tempfile
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from redis import Redis

from facesearch.backup import served_faces, worker_request
from processes import wait_for
from shared.backup_request import REQUEST, Progress, Request, faces_path
from shared.errors import OperatorError
from shared.heartbeat import WORKERS, Heartbeat, heartbeat_key
from shared.progress import not_shown
from shared.worker_request import REMEMBER_S, progress_key
from spaces import only
from worker.models.identity import Identity
from worker.models.spaces import Spaces
from worker.models.versions import Preprocessing
from worker.store import faces_file
from worker.store.base import PAGE, Point, StoreUnavailable
from worker.store.memory import MemoryStore
from worker.upkeep import requests
from worker.upkeep.backups import Backups

OURS = Identity("sface", "0" * 64, 1, 4)


def faces(count: int) -> list[Point]:
    return [Point(uuid.uuid4(), str(number), np.eye(4, dtype=np.float32)[0]) for number in range(count)]


class PausingStore(MemoryStore):
    """A store whose points wait for a signal after a page has been read."""

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
def handover(tmp_path: Path) -> Path:
    """The folder in which the worker may write."""
    return tmp_path / "handover"


@pytest.fixture
def store() -> PausingStore:
    return PausingStore()


@pytest.fixture
def worker(redis: Redis, store: PausingStore, handover: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Backups]:
    monkeypatch.setattr(requests, "POLL_INTERVAL_S", 0.05)
    worker = Backups(redis, store, only(OURS), handover)
    worker.start()
    yield worker
    store.go.set()
    worker.stop()


working = pytest.mark.usefixtures("worker")
"""A worker polls for requests during the test."""


class BackupThread:
    """A thread that requests a backup and waits for it."""

    def __init__(self, redis: Redis, handover: Path, folder: Path, collections: list[str]) -> None:
        self.shown: list[tuple[str, int, int | None]] = []
        self.ended: Progress | None = None
        self.error = ""
        self._thread = threading.Thread(target=self._run, args=(redis, handover, folder, collections))
        self._thread.start()

    def _run(self, redis: Redis, handover: Path, folder: Path, collections: list[str]) -> None:
        try:
            self.ended = served_faces.write_faces(redis, handover, folder, collections, self._show)
        except OperatorError as error:
            self.error = str(error)

    def _show(self, what: str, done: int, total: int | None) -> None:
        self.shown.append((what, done, total))

    def join(self) -> None:
        self._thread.join(30)
        assert not self._thread.is_alive()


@working
def test_every_collection_is_written(redis: Redis, handover: Path, store: PausingStore, tmp_path: Path) -> None:
    store.go.set()
    held = {"t.a": faces(2 * PAGE + 1), "t.b": faces(1), "t.empty": []}
    for collection, points in held.items():
        store.add(collection, points)
    ended = served_faces.write_faces(redis, handover, tmp_path, list(held), not_shown)
    assert ended == Progress(state="done", collections=3, faces=2 * PAGE + 2, total=2 * PAGE + 2)
    for collection, points in held.items():
        read = faces_file.read(faces_path(tmp_path, collection))
        assert [point.person_id for point in read] == sorted(point.person_id for point in points)
    assert not redis.exists(REQUEST)
    assert all(0 < redis.ttl(key) <= REMEMBER_S for key in redis.scan_iter(f"{REQUEST}*"))


def test_each_facedb_is_written_under_its_own_identity(redis: Redis, handover: Path) -> None:
    other, unknown = (Identity("sface", "0" * 64, version, 4) for version in (2, 3))
    spaces = Spaces({OURS: Preprocessing(1), other: Preprocessing(2)}, [OURS])
    store = MemoryStore(OURS)
    worker = ForgedRequests(redis, Backups(redis, store, spaces, handover))
    for collection, identity in {"t.a": OURS, "t.b": other, "t.c": unknown}.items():
        store.under(identity).add(collection, faces(2))
    for number, (collection, identity) in enumerate({"t.a": OURS, "t.b": other, "t.empty": OURS}.items()):
        ended = worker.ended(handover / str(number), collection)
        assert ended is not None
        assert ended.state == "done"
        assert faces_file.read_header(faces_path(handover / str(number), collection)).identity == str(identity)
    refused = worker.ended(handover / "refused", "t.c")
    assert refused is not None
    assert refused.state == "failed"
    assert refused.reason.startswith(f"collection t.c holds faces of {unknown}")


@working
def test_progress_is_reported_to_the_waiting_command_with_its_total(
    redis: Redis, handover: Path, store: PausingStore, tmp_path: Path
) -> None:
    store.add("t.a", faces(2 * PAGE))
    waiting = BackupThread(redis, handover, tmp_path, ["t.a"])
    assert store.reached.wait(30)
    wait_for(lambda: bool(waiting.shown))
    store.go.set()
    waiting.join()
    assert waiting.shown[-1] == ("persons", 2 * PAGE, 2 * PAGE)


@working
def test_a_second_backup_is_refused_while_one_runs(
    redis: Redis, handover: Path, store: PausingStore, tmp_path: Path
) -> None:
    store.add("t.a", faces(PAGE + 1))
    first = BackupThread(redis, handover, tmp_path, ["t.a"])
    assert store.reached.wait(30)
    with pytest.raises(OperatorError, match="another backup of this service is being written"):
        served_faces.write_faces(redis, handover, tmp_path, ["t.a"], not_shown)
    store.go.set()
    first.join()
    assert first.ended is not None


@working
def test_of_two_workers_one_writes_the_backup(
    redis: Redis, handover: Path, store: PausingStore, tmp_path: Path
) -> None:
    store.go.set()
    other = Backups(redis, store, only(OURS), handover)
    other.start()
    store.add("t.a", faces(1))
    assert served_faces.write_faces(redis, handover, tmp_path, ["t.a"], not_shown).state == "done"
    other.stop()


@working
def test_a_folder_that_cannot_be_written_is_an_error(redis: Redis, handover: Path, tmp_path: Path) -> None:
    handover.write_text("no folder")
    with pytest.raises(OperatorError, match=rf"cannot write to {handover}/[0-9a-f]{{32}} \(File exists\)"):
        served_faces.write_faces(redis, handover, tmp_path, ["t.a"], not_shown)


class ForgedRequests:
    """Requests as any program with access to Redis could make them."""

    def __init__(self, redis: Redis, worker: Backups) -> None:
        self._redis, self._worker = redis, worker

    def ended(self, folder: object, collection: str = "t.a") -> Progress | None:
        """Return the result of such a request, None if no worker took it."""
        request_id = uuid.uuid4().hex
        forged = {"id": request_id, "folder": str(folder), "collections": [collection]}
        self._redis.set(REQUEST, json.dumps(forged))
        self._worker.poll()
        self._redis.delete(REQUEST)
        said = self._redis.get(progress_key(REQUEST, request_id))
        return None if said is None else Progress.model_validate_json(said)


@pytest.fixture
def forged(redis: Redis, store: PausingStore, handover: Path) -> ForgedRequests:
    store.go.set()
    store.add("t.a", faces(3))
    return ForgedRequests(redis, Backups(redis, store, only(OURS), handover))


def test_files_are_for_their_owner_and_below_the_folder_of_the_workers_settings(
    forged: ForgedRequests, handover: Path
) -> None:
    ended = forged.ended(handover / "one")
    assert ended == Progress(state="done", collections=1, faces=3, total=3)
    assert stat.S_IMODE((handover / "one").stat().st_mode) == 0o700
    assert stat.S_IMODE(faces_path(handover / "one", "t.a").stat().st_mode) == 0o600


@pytest.mark.parametrize("where", ["", "handover", "handover/../elsewhere", "handover/out/elsewhere", "handover2/x"])
def test_nothing_is_written_anywhere_else(forged: ForgedRequests, handover: Path, tmp_path: Path, where: str) -> None:
    handover.mkdir()
    (handover / "out").symlink_to(tmp_path)
    ended = forged.ended(tmp_path / where)
    assert ended is not None
    assert ended.state == "failed"
    assert ended.reason.startswith(f"it writes below {handover} alone")
    assert not list(tmp_path.rglob("*.jsonl"))


def test_an_existing_folder_is_not_written(forged: ForgedRequests, handover: Path) -> None:
    (handover / "one").mkdir(parents=True)
    ended = forged.ended(handover / "one")
    assert ended is not None
    assert "File exists" in ended.reason
    assert not any((handover / "one").iterdir())


@pytest.mark.parametrize("collection", ["../t.a", "/t.a", "..", "t.a/../../t.a", ""])
def test_a_path_as_collection_is_refused(
    forged: ForgedRequests, handover: Path, tmp_path: Path, collection: str
) -> None:
    assert forged.ended(handover / "one", collection) is None
    assert not list(tmp_path.rglob("*.jsonl"))


@working
def test_a_request_for_another_folder_is_refused_with_the_workers_folder(
    redis: Redis, handover: Path, tmp_path: Path
) -> None:
    with pytest.raises(OperatorError, match=rf"it writes below {handover} alone, its FACESEARCH_BACKUP_DIR"):
        served_faces.write_faces(redis, tmp_path / "another", tmp_path, ["t.a"], not_shown)


@working
def test_nothing_stays_in_the_handover_folder_even_of_a_killed_command(
    redis: Redis, store: PausingStore, handover: Path, tmp_path: Path
) -> None:
    store.go.set()
    store.add("t.a", faces(1))
    left, kept = handover / uuid.uuid4().hex, handover / "theirs"
    for folder in (left, kept):
        folder.mkdir(parents=True)
    served_faces.write_faces(redis, handover, tmp_path, ["t.a"], not_shown)
    assert [*handover.iterdir()] == [kept]
    assert stat.S_IMODE(faces_path(tmp_path, "t.a").stat().st_mode) == 0o600


@working
def test_a_backup_may_go_to_another_disk(redis: Redis, store: PausingStore, handover: Path, tmp_path: Path) -> None:
    store.go.set()
    store.add("t.a", faces(2))
    elsewhere = Path(tempfile.mkdtemp(dir="/dev/shm"))
    try:
        if elsewhere.stat().st_dev == tmp_path.stat().st_dev:
            pytest.skip("there is one disk only")
        served_faces.write_faces(redis, handover, elsewhere, ["t.a"], not_shown)
        assert len([*faces_file.read(faces_path(elsewhere, "t.a"))]) == 2
        assert stat.S_IMODE(faces_path(elsewhere, "t.a").stat().st_mode) == 0o600
    finally:
        shutil.rmtree(elsewhere)


@working
def test_a_full_disk_is_an_error(
    redis: Redis, handover: Path, store: PausingStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.go.set()
    store.add("t.a", faces(3))

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OperatorError, match="No space left on device"):
        served_faces.write_faces(redis, handover, tmp_path, ["t.a"], not_shown)


@working
def test_a_failing_store_is_an_error(redis: Redis, handover: Path, store: PausingStore, tmp_path: Path) -> None:
    store.broken = True
    store.go.set()
    store.add("t.a", faces(PAGE + 1))
    with pytest.raises(OperatorError, match="could not write the faces: the disk is gone"):
        served_faces.write_faces(redis, handover, tmp_path, ["t.a"], not_shown)


def test_a_stopped_worker_reports_it(
    redis: Redis, handover: Path, store: PausingStore, worker: Backups, tmp_path: Path
) -> None:
    store.add("t.a", faces(PAGE + 1))
    waiting = BackupThread(redis, handover, tmp_path, ["t.a"])
    assert store.reached.wait(30)
    stopping = threading.Thread(target=worker.stop)
    stopping.start()
    wait_for(worker._ending.is_set)
    store.go.set()
    stopping.join()
    waiting.join()
    assert waiting.error == "the worker could not write the faces: the worker was stopped"


def test_a_killed_worker_is_noticed(
    redis: Redis, handover: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_request, "SILENT_S", 0.5)
    with pytest.raises(OperatorError, match="no worker takes the backup up"):
        served_faces.write_faces(redis, handover, tmp_path, ["t.a"], not_shown)
    waiting = BackupThread(redis, handover, tmp_path, ["t.a"])
    wait_for(lambda: bool(redis.exists(REQUEST)))
    request = Request.model_validate_json(redis.get(REQUEST))
    redis.set(progress_key(REQUEST, request.id), Progress(faces=3).model_dump_json())
    waiting.join()
    assert waiting.error.startswith("the worker that wrote the faces is gone")
    assert not redis.exists(REQUEST)


def test_a_backup_of_a_killed_worker_is_not_continued(redis: Redis, worker: Backups, handover: Path) -> None:
    request = Request(id=uuid.uuid4().hex, folder=str(handover / "one"), collections=["t.a"])
    redis.set(progress_key(REQUEST, request.id), Progress().model_dump_json())
    redis.set(REQUEST, request.model_dump_json())
    worker.poll()
    assert not handover.exists()


@working
def test_the_worker_stops_when_no_command_waits(
    redis: Redis, store: PausingStore, handover: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "REPORT_INTERVAL_S", 0)
    store.add("t.a", faces(3 * PAGE))
    request = Request(id=uuid.uuid4().hex, folder=str(handover / "one"), collections=["t.a"])
    redis.set(REQUEST, request.model_dump_json())
    assert store.reached.wait(30)
    redis.delete(REQUEST)
    store.go.set()

    def ended() -> bool:
        return Progress.model_validate_json(redis.get(progress_key(REQUEST, request.id))).state == "failed"

    wait_for(ended)
    progress = Progress.model_validate_json(redis.get(progress_key(REQUEST, request.id)))
    assert progress.reason == "nobody waits for it any more"
    assert progress.faces < 3 * PAGE


def test_a_request_of_another_release_is_ignored(redis: Redis, worker: Backups) -> None:
    redis.set(REQUEST, "{}")
    worker.poll()
    assert redis.keys(f"{REQUEST}:*") == []


@working
def test_a_command_that_was_suspended_for_too_long_gets_an_error(
    redis: Redis, handover: Path, store: PausingStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_request, "RENEW_EVERY_S", 0)
    store.add("t.a", faces(PAGE + 1))
    waiting = BackupThread(redis, handover, tmp_path, ["t.a"])
    assert store.reached.wait(30)
    redis.set(REQUEST, "somebody else's")
    waiting.join()
    assert "held up for too long" in waiting.error
    assert redis.get(REQUEST) == b"somebody else's"


def test_a_missing_worker_is_noticed(redis: Redis) -> None:
    assert not worker_request.alive(redis)
    redis.sadd(WORKERS, "one")
    assert not worker_request.alive(redis)
    redis.set(heartbeat_key("one"), Heartbeat(store="ok", embedder="x").model_dump_json())
    assert worker_request.alive(redis)
