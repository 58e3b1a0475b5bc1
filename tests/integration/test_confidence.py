"""Estimates of what confidences stand for in a facedb, and calibrations of facedbs: by a worker, and by the command."""

import base64
import json
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import structlog
from click.testing import CliRunner, Result
from redis import Redis

from facesearch.cli.main import main
from homes import Home, done, ours, refused
from portraits import hopper_jpeg, scale
from processes import wait_for
from service import UNHURRIED
from service import Service as RunningService
from shared import audit
from shared.confidence import REQUEST, Progress, Request
from shared.control.layout import confidence_key, facedb_key
from shared.heartbeat import WORKERS, Heartbeat, heartbeat_key
from shared.worker_request import new_id, progress_key
from spaces import only
from worker.confidence.rates import FARS
from worker.models.calibration import SFACE, Calibration
from worker.models.identity import Identity
from worker.store.base import PAGE, Point, StoreUnavailable
from worker.store.memory import MemoryStore
from worker.upkeep.estimates import Estimates

SPACE = Identity("test", "0" * 64, 1, 128)


def points(count: int, alike: float = 0.3, seed: int = 0) -> list[Point]:
    """Return faces of different people. alike: length of what all have in common."""
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(count, 128)) / np.sqrt(128)
    vectors[:, 0] += alike
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    ids = (uuid.UUID(bytes=random.bytes(16), version=4) for _ in range(count))
    return [Point(one, "x", vector.astype(np.float32)) for one, vector in zip(ids, vectors, strict=True)]


class Stuck(MemoryStore):
    """A store that begins to read and goes on when it is released, or cannot read."""

    def __init__(self) -> None:
        super().__init__(SPACE)
        self.go, self.reached = threading.Event(), threading.Event()
        self.go.set()
        self.down = False

    def points(self, collection: str) -> Iterator[Point]:
        if self.down:
            raise StoreUnavailable("the disk is away")
        for number, point in enumerate(super().points(collection)):
            if number == PAGE:
                self.reached.set()
                assert self.go.wait(30)
            yield point


@pytest.fixture
def redis(valkey_url: str) -> Iterator[Redis]:
    with Redis.from_url(valkey_url) as client:
        yield client


@pytest.fixture
def store() -> Stuck:
    store = Stuck()
    store.add("t.a.1", points(600))
    return store


def requested(redis: Redis, collection: str = "t.a.1") -> str:
    """Request an estimate and return the key of its progress."""
    request = Request(id=new_id(), collection=collection)
    redis.set(REQUEST, request.model_dump_json(), ex=15)
    return progress_key(REQUEST, request.id)


def progress(redis: Redis, key: str) -> Progress:
    return Progress.model_validate_json(redis.get(key) or Progress().model_dump_json())


class TestWorker:
    def test_one_of_two_workers_makes_the_estimate(self, redis: Redis, store: Stuck) -> None:
        key = requested(redis)
        for _ in range(2):
            Estimates(redis, store, only(SPACE), {SPACE.model: SFACE}).poll()
        ended = progress(redis, key)
        assert (ended.state, ended.faces) == ("done", 600)
        estimate = ended.estimate
        assert estimate is not None
        assert (estimate.identity, estimate.stored, estimate.pairs) == (str(SPACE), 600, 600 * 599 // 2)
        assert [level.confidence for level in estimate.levels] == list(FARS)
        for level in estimate.levels:
            assert level.cosine == SFACE.cosine(level.confidence)
            assert level.ask == SFACE.confidence(level.own)
        # A calibration by which confidences mean there what they are meant to.
        own = Calibration(estimate.points)
        assert [own.confidence(level.own) for level in estimate.levels] == list(FARS)
        assert own.confidence(0.9999) == 100

    @pytest.mark.parametrize("faces", [0, 499])
    def test_too_few_faces_are_refused_with_their_number(self, redis: Redis, store: Stuck, faces: int) -> None:
        store.add("t.few.2", points(faces))
        key = requested(redis, "t.few.2")
        Estimates(redis, store, only(SPACE), {SPACE.model: SFACE}).poll()
        ended = progress(redis, key)
        assert ended.state == "failed"
        assert f"it has {faces} faces, and 500 are needed" in ended.reason

    def test_faces_of_another_model_are_refused(self, redis: Redis, store: Stuck) -> None:
        key = requested(redis)
        other = Identity("other", "0" * 64, 1, 128)
        Estimates(redis, store.under(other), only(other), {other.model: SFACE}).poll()
        assert f"holds faces of {SPACE}" in progress(redis, key).reason

    def test_a_store_that_cannot_read_is_the_reason(self, redis: Redis, store: Stuck) -> None:
        store.down = True
        key = requested(redis)
        Estimates(redis, store, only(SPACE), {SPACE.model: SFACE}).poll()
        assert progress(redis, key).reason == "the disk is away"

    def test_it_ends_when_nobody_waits(self, redis: Redis, store: Stuck) -> None:
        store.go.clear()
        key = requested(redis)
        working = threading.Thread(target=Estimates(redis, store, only(SPACE), {SPACE.model: SFACE}).poll)
        working.start()
        assert store.reached.wait(30)
        redis.delete(REQUEST)
        store.go.set()
        wait_for(lambda: progress(redis, key).state != "running")
        working.join()
        # A machine that is done within the interval of reports does not notice.
        assert progress(redis, key).reason in ("", "nobody waits for it any more")

    def test_a_stopped_worker_reports_it(self, redis: Redis, store: Stuck) -> None:
        store.go.clear()
        key = requested(redis)
        estimates = Estimates(redis, store, only(SPACE), {SPACE.model: SFACE})
        estimates.start()
        assert store.reached.wait(30)
        stopping = threading.Thread(target=estimates.stop)
        stopping.start()
        wait_for(estimates._ending.is_set)
        store.go.set()
        stopping.join()
        assert progress(redis, key).reason == "the worker was stopped"

    def test_an_invalid_request_is_ignored(self, redis: Redis, store: Stuck) -> None:
        redis.set(REQUEST, '{"id": "x"}')
        Estimates(redis, store, only(SPACE), {SPACE.model: SFACE}).poll()
        assert redis.keys(f"{REQUEST}:*") == []


class Service:
    """A broker with a tenant, and a worker's estimates."""

    def __init__(self, url: str, redis: Redis) -> None:
        self.url, self.redis = url, redis
        self.store = MemoryStore(SPACE)
        self.estimates = Estimates(redis, self.store, only(SPACE), {SPACE.model: SFACE})
        self.run("tenants create shop")
        self.collection = json.loads(redis.get(facedb_key("shop", "default")))["collection"]

    def run(self, line: str) -> Result:
        return CliRunner().invoke(main, line.split(), env={"REDIS_URL": self.url}, catch_exceptions=False)

    def done(self, line: str) -> str:
        result = self.run(line)
        assert result.exit_code == 0, result.output
        return result.stdout

    def refused(self, line: str) -> str:
        result = self.run(line)
        assert result.exit_code == 1, result.output
        return result.stderr

    def record(self) -> Any:
        text = self.redis.get(confidence_key("shop", "default"))
        return None if text is None else json.loads(text)


@pytest.fixture
def service(valkey_url: str, redis: Redis, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    monkeypatch.setattr("worker.upkeep.requests.POLL_INTERVAL_S", 0.05)
    service = Service(valkey_url, redis)
    redis.sadd(WORKERS, "w")
    redis.set(heartbeat_key("w"), Heartbeat(store="ok", embedder="e").model_dump_json())
    with structlog.testing.capture_logs():  # the command's output is captured in the same process
        service.estimates.start()
        yield service
        service.estimates.stop()


COMMAND = "facedbs confidence default --tenant shop"


class TestCommand:
    def test_alike_people_reach_80_too_often(self, service: Service) -> None:
        service.store.add(service.collection, points(1000, alike=0.6))
        said = service.done(COMMAND)
        assert "facedb default of tenant shop: 1,000 faces, 499,500 pairs of strangers." in said
        assert "where 1 in 1,000 is meant. For what 80 means elsewhere, ask for" in said
        assert "Of 97 nothing can be said: there are too few faces." in said
        assert "given by the model's calibration. Nothing was changed" in said
        assert service.record() is None

    def test_a_confidence_that_holds_is_said_to_hold(self, service: Service) -> None:
        service.store.add(service.collection, points(1000, alike=0.3))
        found = json.loads(service.done(f"{COMMAND} --json"))
        held = [level for level in found["levels"] if level["low"] <= level["meant"] <= level["high"]]
        said = service.done(COMMAND)
        assert said.count(" is meant: it holds here.") == len([one for one in held if 80 <= one["confidence"] < 97])

    def test_a_calibration_is_kept_undone_and_removed(self, service: Service, redis: Redis) -> None:
        service.store.add(service.collection, points(600, alike=0.6))
        assert service.refused(f"{COMMAND} --undo").endswith("the confidences of facedb default were never changed\n")
        assert "by the model's calibration already" in service.refused(f"{COMMAND} --remove")
        kept = json.loads(service.done(f"{COMMAND} --write --json"))
        first = service.record()
        assert kept["kept"]["table"]["points"] == kept["points"] == first["table"]["points"]
        assert (first["version"], first["collection"]) == (1, service.collection)
        assert first["table"]["identity"] == str(SPACE)
        assert first["table"]["faces"] == 600
        assert first["by"].startswith("command, ")
        assert "former" not in first

        assert "given by a calibration of 600 of its faces" in service.done(COMMAND)
        service.store.add(service.collection, points(300, alike=0.6, seed=1))
        assert "Kept: " in service.done(f"{COMMAND} --write")
        second = service.record()
        assert (second["version"], second["table"]["faces"]) == (2, 900)
        assert second["former"] == first["table"]

        assert "a calibration of 600 of its faces" in service.done(f"{COMMAND} --undo")
        assert service.record()["table"] == first["table"]
        assert "a calibration of 900 of its faces" in service.done(f"{COMMAND} --undo")
        assert "given by the model's calibration" in service.done(f"{COMMAND} --remove")
        removed = service.record()
        assert "table" not in removed
        assert removed["version"] == 5
        assert removed["former"] == second["table"]
        assert "a calibration of 900 of its faces" in service.done(f"{COMMAND} --undo")
        actions = [entry[b"action"] for _, entry in redis.xrange(audit.CHANGES)]
        assert actions.count(b"facedb.calibrate") == 2
        assert actions.count(b"facedb.undo-calibrate") == 3
        assert actions.count(b"facedb.uncalibrate") == 1

    def test_a_dropped_facedb_leaves_no_calibration(self, service: Service) -> None:
        service.store.add(service.collection, points(600))
        service.done(f"{COMMAND} --write")
        service.done("facedbs create other --tenant shop")
        service.done("facedbs default other --tenant shop")
        service.done("facedbs drop default --tenant shop --yes")
        assert service.record() is None

    def test_a_facedb_that_does_not_exist_and_too_few_faces_are_refused(self, service: Service) -> None:
        assert "tenant shop has no facedb nowhere" in service.refused("facedbs confidence nowhere --tenant shop")
        assert "there is no estimate: it has 0 faces, and 500 are needed" in service.refused(f"{COMMAND} --write")
        assert service.record() is None

    def test_without_a_worker_it_says_so(self, service: Service, redis: Redis) -> None:
        redis.delete(heartbeat_key("w"))
        assert "no worker runs" in service.refused(COMMAND)


@pytest.mark.embedded("it is about a data directory of its own")
def test_a_stopped_service_is_looked_at_and_not_changed(tmp_path: Path) -> None:
    faces = points(520)
    assert ours().dimension == 128
    home = Home(tmp_path / "home", faces)
    at = ("--data-dir", home.folder)
    said = done("facedbs", "confidence", "default", *at)
    assert "facedb default of tenant default: 520 faces" in said
    assert json.loads(done("facedbs", "confidence", "default", "--json", *at))["stored"] == 520
    assert "500 are needed" in refused("facedbs", "confidence", "staff", *at)
    assert "--write needs it" in refused("facedbs", "confidence", "default", "--write", *at)


@pytest.mark.slow
@pytest.mark.embedded("it is about a data directory of its own")
def test_a_kept_calibration_changes_the_answers_of_searches_and_is_restored_from_a_backup(tmp_path: Path) -> None:
    """The faces that are there are much alike, so the same two photos of one person are less sure to be of one."""
    home = Home(tmp_path / "home", points(520, alike=0.6))
    at = ("--data-dir", home.folder)
    photo, other = ({"img": base64.b64encode(scale(hopper_jpeg(), part)).decode()} for part in (1, 0.4))

    def asked(service: RunningService, call: str, **data: str) -> Any:
        answer = service.http.post(f"/v1/{call}", data=data).json()
        assert answer["status"] == "OK", answer
        return answer["message"]

    def confidence(service: RunningService, image: dict[str, str]) -> float:
        return float(asked(service, "searchface", **image)[0]["confidence"])

    with RunningService(home.folder, dict(UNHURRIED)) as service:
        asked(service, "addface", name="grace", **photo)
        before = confidence(service, other)
        assert 95 < before < 100
        done("facedbs", "confidence", "default", "--write", *at)
        # Gateways keep what they looked up for seconds.
        wait_for(lambda: confidence(service, other) != before)
        after = confidence(service, other)
        assert 80 < after < before
        assert confidence(service, photo) == 100
        compared = service.http.post("/v1/facecompare", data={"img1": photo["img"], "img2": other["img"]}).json()
        assert compared["message"]["similarity"] == before, "it has no facedb"
        done("backup", tmp_path / "backup", *at)
        done("facedbs", "confidence", "default", "--remove", *at)
        wait_for(lambda: confidence(service, other) == before)
    restored = ("--data-dir", tmp_path / "restored")
    done("restore", tmp_path / "backup", *restored)
    done("verify", *restored)
    with RunningService(tmp_path / "restored", dict(UNHURRIED)) as service:
        assert confidence(service, other) == after
