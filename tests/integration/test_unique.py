"""Unique adds: of any number of concurrent adds of one person exactly one adds, whatever workers do.

Most tests have workers without models in one process; the last ones have the whole running service.
"""

import asyncio
import base64
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any
from unittest import mock

import httpx
import numpy as np
import pytest
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from contract.tenants import new_tenant
from gateway.calls.preferences import written
from portraits import astronaut_png, hopper_jpeg, reencode
from processes import wait_for
from service import Service
from shared.asynchronous import key_of
from shared.contract import Status
from shared.control import DEFAULT, Control
from shared.jobs import (
    AddJob,
    DeleteJob,
    Once,
    Outcome,
    image_key,
    new_gateway_id,
    new_job_id,
    new_request_id,
    person_id,
)
from shared.observability.tracing import NoTraces
from spaces import only
from table_faces import TableFaces
from worker import actions, unique
from worker.ledger import START_S, WRITE_S, Ledger
from worker.ledger.line import HOLD_S, KEEP_S, Line
from worker.metrics import Metrics
from worker.models.calibration import SFACE
from worker.models.identity import Identity
from worker.runtime import Runtime
from worker.store.base import Match, Point, StoreUnavailable
from worker.store.memory import MemoryStore
from worker.tasks import perform

COLLECTION = "tenant.facedb.00000000"
LINE = f"fs:unique:{COLLECTION}"
SPACE = Identity("test", "0" * 64, 1, 16)
PATIENCE_S = 20


class People(TableFaces):
    """Faces of the letters: the case does not matter for who is shown, and makes the photos differ."""

    @staticmethod
    def vector(byte: int, version: int = 0) -> np.ndarray:  # noqa: ARG004 -- the interface's
        letter = bytes([byte]).lower()[0]
        face = np.eye(16)[letter % 16] + 0.02 * np.random.default_rng(byte).normal(size=16)
        return (face / np.linalg.norm(face)).astype(np.float32)


@dataclass
class Worker:
    """A worker, and the jobs of its callers."""

    redis: Redis
    store: MemoryStore = field(default_factory=lambda: MemoryStore(SPACE))

    def __post_init__(self) -> None:
        ledger, metrics = Ledger(self.redis, self.redis), Metrics(NoTraces())
        self.runtime = Runtime(People(), SFACE, self.store, ledger, only(SPACE), metrics, PATIENCE_S)

    def job(self, photo: bytes, **more: Any) -> AddJob:
        job_id = new_job_id(new_gateway_id(), new_request_id())
        self.redis.set(image_key(job_id), photo)
        common = {"job_id": job_id, "deadline": time.time() + 60, "collection": COLLECTION, "name": None}
        return AddJob.model_validate({**common, "unique": 95, **more})

    def do(self, job: AddJob) -> Outcome:
        return perform(job, actions.add, self.runtime)

    def add(self, photo: bytes, **more: Any) -> list[dict[str, Any]]:
        outcome = self.do(self.job(photo, **more))
        assert outcome.status is Status.OK
        message: Any = outcome.message
        return list(message)

    @property
    def count(self) -> int:
        return self.store.count(COLLECTION)


@pytest.fixture
def worker(valkey_url: str) -> Iterator[Worker]:
    with Redis.from_url(valkey_url) as redis:
        yield Worker(redis)


class TestOneAfterTheOther:
    def test_somebody_new_is_added_as_ever(self, worker: Worker) -> None:
        (entry,) = worker.add(b"a")
        assert list(entry) == ["name", "person_id"]
        assert entry["name"] == "ID0"

    def test_somebody_who_is_there_is_named_with_the_confidence(self, worker: Worker) -> None:
        (first,) = worker.add(b"a", name="Ada")
        (again,) = worker.add(b"A", name="Other")
        assert list(again) == ["name", "person_id", "existing", "confidence"]
        assert (again["name"], again["person_id"], again["existing"]) == ("Ada", first["person_id"], True)
        assert 95 <= again["confidence"] < 100
        assert worker.add(b"a")[0]["confidence"] == 100
        assert worker.count == 1

    def test_the_confidence_is_the_least_that_counts(self, worker: Worker) -> None:
        (first,) = worker.add(b"a")
        (near,) = worker.add(b"A")
        (added,) = worker.add(b"A", unique=100)
        assert "existing" not in added
        assert near["person_id"] == first["person_id"] != added["person_id"]

    def test_faces_of_one_photo_count_against_each_other_in_order(self, worker: Worker) -> None:
        entries = worker.add(b"abAaB")
        assert [entry.get("existing", False) for entry in entries] == [False, False, True, True, True]
        a, b, *others = (entry["person_id"] for entry in entries)
        assert others == [a, a, b]
        assert [entry["name"] for entry in entries] == ["ID0", "ID1", "ID0", "ID0", "ID1"]
        assert worker.count == 2

    def test_a_name_is_drawn_only_if_somebody_is_added(self, worker: Worker) -> None:
        worker.add(b"a")
        worker.add(b"A")
        assert worker.add(b"b")[0]["name"] == "ID1"

    def test_a_plain_add_adds_nevertheless(self, worker: Worker) -> None:
        worker.add(b"a")
        assert "existing" not in worker.add(b"a", unique=None)[0]
        assert worker.count == 2

    def test_details_of_who_is_there(self, worker: Worker) -> None:
        worker.add(b"a", external_id="e-1")
        there, new = worker.add(b"AB", details=True)
        assert there["external_id"] == "e-1"
        assert (there["face_id"], there["faces"]) == (there["person_id"], 1)
        assert there["box"] != new["box"]
        assert "external_id" not in new
        assert new["added"] is not None

    def test_nothing_is_left_behind(self, worker: Worker) -> None:
        worker.add(b"ab")
        worker.add(b"A")
        assert worker.redis.keys("fs:unique:*") == []


class TestAtOnce:
    @pytest.mark.parametrize("photos", [[b"a", b"A"] * 12, [b"ab", b"BA", b"cab", b"c"] * 6])
    def test_everybody_is_added_once(self, worker: Worker, photos: list[bytes]) -> None:
        # As many workers as jobs, so that all of them overlap.
        workers = [Worker(Redis.from_url(connection(worker)), worker.store) for _ in photos]
        jobs = [each.job(photo) for each, photo in zip(workers, photos, strict=True)]
        with ThreadPoolExecutor(len(jobs)) as threads:
            outcomes = list(threads.map(lambda each, job: each.do(job), workers, jobs))
        for each in workers:
            each.redis.close()
        assert {outcome.status for outcome in outcomes} == {Status.OK}
        entries = [entry for outcome in outcomes for entry in outcome.message]
        people = len(set(b"".join(photos).lower()))
        assert sum("existing" not in entry for entry in entries) == worker.count == people
        assert len({entry["person_id"] for entry in entries}) == people
        assert worker.redis.keys("fs:unique:*") == []

    def test_who_is_unlike_does_not_wait(self, worker: Worker) -> None:
        with stopped_before_writing(worker, b"a") as blocked:
            assert "existing" not in worker.add(b"b")[0]
            blocked.release.set()

    def test_who_is_alike_waits_and_then_finds_it(self, worker: Worker) -> None:
        with stopped_before_writing(worker, b"a") as blocked, ThreadPoolExecutor(1) as threads:
            waiting = threads.submit(worker.add, b"A")
            while worker.redis.hlen(LINE) != 2:
                assert not waiting.done()
            blocked.release.set()
            (entry,) = waiting.result()
        assert entry["existing"] is True
        assert worker.count == 1

    def test_who_waits_too_long_fails_and_may_try_again(self, worker: Worker) -> None:
        with stopped_before_writing(worker, b"a") as blocked:
            object.__setattr__(worker.runtime, "patience_s", 0.05)
            assert worker.do(worker.job(b"A")).status is Status.FAIL
            blocked.release.set()
        assert worker.add(b"A")[0]["existing"] is True

    def test_without_embeddings_everybody_waits(self, worker: Worker) -> None:
        """As after a restart of the image store, which keeps nothing."""
        with stopped_before_writing(worker, b"a") as blocked:
            worker.redis.delete(f"fs:unique:{blocked.job.origin}")
            object.__setattr__(worker.runtime, "patience_s", 0.05)
            assert worker.do(worker.job(b"b")).status is Status.FAIL
            blocked.release.set()


class TestAfterAKill:
    @pytest.mark.parametrize("at", ["search", "add"], ids=["while it searches", "while it writes"])
    def test_the_job_takes_its_place_when_it_is_delivered_again(self, worker: Worker, at: str) -> None:
        job = worker.job(b"a")
        killed(worker, job, at)
        with ThreadPoolExecutor(1) as threads:
            waiting = threads.submit(worker.add, b"A")
            while worker.redis.hlen(LINE) != 2:
                assert not waiting.done()
            again = worker.do(job)
            (entry,) = waiting.result()
        assert "existing" not in again.message[0]
        assert (entry["existing"], entry["person_id"]) == (True, again.message[0]["person_id"])
        assert worker.count == 1
        assert worker.redis.keys("fs:unique:*") == []

    def test_one_that_had_written_finds_its_own_face(self, worker: Worker) -> None:
        job = worker.job(b"ab")
        killed(worker, job, "leave")
        again = worker.do(job)
        assert [list(entry) for entry in again.message] == [["name", "person_id"]] * 2
        assert worker.count == 2

    def test_even_when_its_place_is_lost(self, worker: Worker) -> None:
        job = worker.job(b"a")
        killed(worker, job, "leave")
        worker.redis.delete(LINE)
        assert worker.add(b"A")[0]["existing"] is True
        assert "existing" not in worker.do(job).message[0]
        assert worker.count == 1

    def test_a_place_that_nobody_takes_ends(self, worker: Worker) -> None:
        job = worker.job(b"a")
        killed(worker, job, "search")
        assert held_s(worker, job) == pytest.approx(HOLD_S, abs=2)
        later(worker)
        assert "existing" not in worker.add(b"A")[0]

    def test_one_that_had_decided_ends_when_it_can_write_no_more(self, worker: Worker) -> None:
        job = worker.job(b"a")
        killed(worker, job, "add")
        assert held_s(worker, job) == pytest.approx(WRITE_S, abs=2)
        assert 0 < worker.redis.ttl(LINE) <= WRITE_S
        assert 0 < worker.redis.ttl(f"fs:unique:{job.origin}") <= KEEP_S

    def test_one_that_comes_after_its_end_finds_who_went_before(self, worker: Worker) -> None:
        job = worker.job(b"a")
        killed(worker, job, "add")
        later(worker)
        (first,) = worker.add(b"A")
        (again,) = worker.do(job).message
        assert (again["existing"], again["person_id"]) == (True, first["person_id"])

    def test_a_repetition_under_an_idempotency_key_is_of_the_same_origin(self, worker: Worker) -> None:
        once = Once(record=f"fs:once:t:{'0' * 64}", origin=new_request_id(), keep_s=60)
        killed(worker, worker.job(b"a", once=once), "add")
        again = worker.job(b"a", once=once)
        assert "existing" not in worker.do(again).message[0]
        assert worker.count == 1


def test_after_a_failed_write_the_place_is_held_since_the_write_may_come_late(worker: Worker) -> None:
    job = worker.job(b"a")
    with mock.patch.object(MemoryStore, "add", side_effect=StoreUnavailable("full")):
        assert worker.do(job).status is Status.FAIL
    assert held_s(worker, job) > START_S
    assert "existing" not in worker.do(job).message[0]
    assert worker.redis.keys("fs:unique:*") == []


class TestStopped:
    """A worker that is stopped as a whole, and goes on when others have gone past it."""

    def test_before_it_decides_it_loses_its_place(self, worker: Worker) -> None:
        def stopped() -> None:
            later(worker)
            assert "existing" not in worker.add(b"A")[0]

        job = worker.job(b"a")
        with searches_after(stopped):
            assert worker.do(job).status is Status.FAIL
        assert worker.count == 1

    def test_a_place_that_its_repetition_took_is_not_its_own(self, worker: Worker) -> None:
        job = worker.job(b"a")

        def stopped() -> None:
            later(worker)
            assert "existing" not in worker.add(b"A")[0]
            killed(worker, job, "search")  # it has another place now

        with searches_after(stopped):
            assert worker.do(job).status is Status.FAIL
        assert worker.count == 1

    def test_after_it_decided_it_writes_nothing(self, worker: Worker) -> None:
        job = worker.job(b"a")
        clock = SimpleNamespace(time=lambda: time.time() + START_S + 1, time_ns=time.time_ns)
        with mock.patch.object(actions, "time", clock):
            assert worker.do(job).status is Status.FAIL
        assert worker.count == 0
        later(worker)
        assert "existing" not in worker.add(b"A")[0]

    def test_the_first_decision_of_an_origin_counts(self, worker: Worker) -> None:
        job = worker.job(b"a")
        one, other = (unique.Line(worker.runtime.ledger, job) for _ in range(2))
        place = one.enter(b"").place
        assert other.enter(b"").place == place
        assert one.decide(place, "[null]") == "[null]"
        assert other.decide(place, "[]") == "[null]"
        assert other.look().decided == "[null]"

    def test_its_repetition_writes_what_it_had_decided(self, worker: Worker) -> None:
        """A plain add of the same person comes between."""
        job = worker.job(b"a")
        killed(worker, job, "add")
        worker.add(b"A", unique=None)
        assert "existing" not in worker.do(job).message[0]


def test_who_was_deleted_is_nobody(worker: Worker) -> None:
    (first,) = worker.add(b"a")
    deletion = DeleteJob(
        job_id=new_job_id(new_gateway_id(), new_request_id()),
        deadline=time.time() + 60,
        collection=COLLECTION,
        person_id=uuid.UUID(first["person_id"]),
    )
    assert perform(deletion, actions.delete, worker.runtime).status is Status.OK
    assert "existing" not in worker.add(b"A")[0]


def connection(worker: Worker) -> str:
    arguments = worker.redis.connection_pool.connection_kwargs
    return f"unix://{arguments['path']}" if "path" in arguments else f"redis://{arguments['host']}:{arguments['port']}"


class Killed(BaseException):
    """Stands for the end of a worker: nothing of it is done any more."""


def killed(worker: Worker, job: AddJob, at: str) -> None:
    """Do a job up to a step at which its worker is killed."""
    with ExitStack() as dead:
        step = (unique.Line if at == "leave" else MemoryStore, at)
        after = [(unique.Line, "leave")] if at == "leave" else [(unique.Line, "leave"), (Ledger, "end_adding")]
        for place in {step, *after}:
            dead.enter_context(mock.patch.object(*place, side_effect=Killed))
        with pytest.raises(Killed):
            worker.do(job)


def held_s(worker: Worker, job: AddJob) -> float:
    """Return for how many seconds from now on a place is held."""
    entry = worker.redis.hget(LINE, job.origin)
    assert entry is not None
    seconds, microseconds = worker.redis.time()
    return int(entry.split(b" ")[1]) - seconds - microseconds / 1e6


def later(worker: Worker) -> None:
    """Let the time of all places be over."""
    for origin, entry in worker.redis.hgetall(LINE).items():
        place, _, decision = entry.split(b" ", 2)
        worker.redis.hset(LINE, origin, b"%s 1 %s" % (place, decision))


def searches_after(stopped: Callable[[], None]) -> mock._patch:
    """Call a function before the first search from now on, whose result is that of before."""
    original, begun = MemoryStore.search, []

    def search(store: MemoryStore, *arguments: Any) -> list[Match]:
        found = original(store, *arguments)
        if not begun:
            begun.append(True)
            stopped()
        return found

    return mock.patch.object(MemoryStore, "search", search)


@dataclass
class Blocked:
    """A job that is stopped before it writes."""

    job: AddJob
    begun: threading.Event = field(default_factory=threading.Event)
    release: threading.Event = field(default_factory=threading.Event)


@contextmanager
def stopped_before_writing(worker: Worker, photo: bytes) -> Iterator[Blocked]:
    """Begin an add whose write waits to be released."""
    blocked = Blocked(worker.job(photo))
    original = MemoryStore.add

    def add(store: MemoryStore, collection: str, points: Sequence[Point]) -> None:
        if points[0].person_id == person_id(blocked.job.origin, 0):
            blocked.begun.set()
            blocked.release.wait()
        original(store, collection, points)

    with mock.patch.object(MemoryStore, "add", add), ThreadPoolExecutor(1) as threads:
        doing = threads.submit(worker.do, blocked.job)
        blocked.begun.wait()
        try:
            yield blocked
        finally:
            blocked.release.set()
        assert doing.result().status is Status.OK


class TestService:
    def test_concurrent_adds_of_two_people_add_two(self, call: Callable[..., httpx.Response]) -> None:
        people = [reencode(photo, quality) for photo in (hopper_jpeg(), astronaut_png()) for quality in (95, 80, 60)]
        photos = [base64.b64encode(photo).decode() for photo in people]
        with ThreadPoolExecutor(12) as threads:
            answers = list(threads.map(lambda img: call("addface", img=img, unique="95").json(), photos * 2))
        entries = [entry for answer in answers for entry in answer["message"]]
        assert sum("existing" not in entry for entry in entries) == 2
        assert len({entry["person_id"] for entry in entries}) == 2

    def test_an_asynchronous_one_waits_for_longer_than_a_job_may_take(self, service: Service) -> None:
        tenant, keys = new_tenant(service.broker, own={})
        somebody = AddJob(
            job_id=new_job_id(new_gateway_id(), new_request_id()),
            deadline=time.time() + 60,
            collection=collection_of(service, tenant),
            name=None,
        )
        headers = {"X-API-Key": keys["own"], "Prefer": "respond-async"}
        with (
            Redis.from_url(service.broker) as redis,
            httpx.Client(base_url=service.address, headers=headers, timeout=60) as http,
        ):
            line = Line(Ledger(redis, redis), somebody)  # it left no embeddings, so everybody waits for it
            place = line.look().place
            answer = http.post("/v1/addface", data={"unique": "95"}, files={"img": hopper_jpeg()}).json()
            job = answer["message"]["job_id"]
            first = redis.hget(key_of(job), "tag")
            wait_for(lambda: bool(line.look()) and redis.hget(key_of(job), "tag") != first)
            assert http.get(f"/v1/jobs/{job}").status_code == 202, "it was put back, for others to be done"
            line.leave(place, done=True)
            wait_for(lambda: http.get(f"/v1/jobs/{job}").status_code == 200)
            (entry,) = http.get(f"/v1/jobs/{job}").json()["message"]
        assert "existing" not in entry

    def test_confidences_are_whole_numbers_where_the_key_asks_for_them(self) -> None:
        message = [{"name": "", "person_id": "2"}, {"name": "", "person_id": "1", "existing": True, "confidence": 97.9}]
        assert [entry.get("confidence") for entry in written(message, "whole")] == [None, 97]

    @pytest.mark.parametrize("value", ["", "79.9", "100.1", "x", "nan"])
    def test_other_confidences_are_refused(self, call: Callable[..., httpx.Response], value: str) -> None:
        answer = call("addface", img=base64.b64encode(hopper_jpeg()).decode(), unique=value).json()
        assert answer == {"status": "INVALID_REQUEST", "message": "unique must be a number from 80 to 100"}

    def test_json_takes_a_number_and_a_repetition_has_the_first_answer(self, service: Service) -> None:
        sent = {"img": base64.b64encode(hopper_jpeg()).decode(), "unique": 95}
        key = {"Idempotency-Key": str(uuid.uuid4())}
        first, again = (service.http.post("/v1/addface", json=sent, headers=key).json() for _ in range(2))
        other = service.http.post("/v1/addface", json=sent).json()
        (entry,) = first["message"]
        deleted = service.http.post("/v1/delface", data={"person_id": entry["person_id"]}).json()
        assert deleted["status"] == "OK"
        assert first == again
        assert other["message"] == [{**entry, "existing": True, "confidence": 100}]


def collection_of(service: Service, tenant: str) -> str:
    """Return the collection of the default facedb of a tenant."""

    async def ask() -> str:
        async with AsyncRedis.from_url(service.broker) as redis:
            facedb = await Control(redis).facedb(tenant, DEFAULT)
        assert facedb is not None
        return facedb.collection

    return asyncio.run(ask())
