"""What jobs do, on a real broker and the reference store; faces come from a table instead of a model."""

import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
from redis import Redis

from shared.contract import FACE_DELETED, Status
from shared.errors import FaceNotDetected
from shared.jobs import AddJob, DeleteJob, SearchJob, image_key, new_gateway_id, new_job_id, new_request_id
from shared.tracing import NoTraces
from worker import actions
from worker.actions import as_number
from worker.faces.service import FaceService
from worker.ledger import Ledger
from worker.metrics import Metrics
from worker.models.calibration import SFACE
from worker.models.identity import Identity
from worker.presence import Beacon
from worker.runtime import Runtime
from worker.store.base import StoreUnavailable
from worker.store.memory import MemoryStore
from worker.tasks import perform

SPACE = Identity("test", "0" * 64, 1, 4)
COLLECTION = "tenant.facedb.00000000"


class Faces(FaceService):
    """Sees in each byte of an "image" a face, described by a vector that depends on the byte alone."""

    def __init__(self) -> None:
        """No models."""

    def describe_all(self, data: bytes) -> list:
        if not data:
            raise FaceNotDetected
        return [SimpleNamespace(vector=self.vector(byte)) for byte in data]

    def describe_prominent(self, data: bytes):
        return self.describe_all(data)[0]

    @staticmethod
    def vector(byte: int) -> np.ndarray:
        vector = np.random.default_rng(byte).normal(size=4).astype(np.float32)
        return vector / np.linalg.norm(vector)


@dataclass
class Failing(MemoryStore):
    """A store that cannot be written to for a while."""

    def __init__(self) -> None:
        super().__init__(SPACE)
        self.down = False

    def delete(self, collection: str, person_id: uuid.UUID) -> None:
        if self.down:
            raise StoreUnavailable("disk full")
        super().delete(collection, person_id)


@pytest.fixture
def runtime(valkey_url: str) -> Iterator[Runtime]:
    with Redis.from_url(valkey_url) as redis:
        yield Runtime(Faces(), SFACE, Failing(), Ledger(redis, redis), SPACE, Metrics(NoTraces()))


def common(runtime: Runtime, image: bytes | None = None, seconds: float = 10) -> dict:
    job_id = new_job_id(new_gateway_id(), new_request_id())
    if image is not None:
        runtime.ledger.images.set(image_key(job_id), image)
    return {"job_id": job_id, "collection": COLLECTION, "deadline": time.time() + seconds}


class TestAdd:
    def test_a_job_delivered_twice_adds_once_and_says_the_same(self, runtime: Runtime) -> None:
        job = AddJob(**common(runtime, b"ab"), name=None)
        first = perform(job, actions.add, runtime)
        assert [face["name"] for face in first.message] == ["ID0", "ID1"]
        assert perform(job, actions.add, runtime) == first
        assert runtime.store.count(COLLECTION) == 2
        later = perform(AddJob(**common(runtime, b"c"), name=None), actions.add, runtime)
        assert later.message[0]["name"] == "ID2"

    def test_past_its_deadline_a_job_writes_nothing(self, runtime: Runtime) -> None:
        job = AddJob(**common(runtime, b"a", seconds=-1), name="x")
        assert perform(job, actions.add, runtime).status is Status.FAIL
        assert runtime.store.count(COLLECTION) == 0

    def test_the_deadline_is_checked_again_right_before_writing(self, runtime: Runtime) -> None:
        job = AddJob(**common(runtime, b"a", seconds=0.2), name="x")

        class Slow(Faces):
            def describe_all(self, data: bytes) -> list:
                while time.time() <= job.deadline:
                    pass
                return super().describe_all(data)

        slow = Runtime(Slow(), SFACE, runtime.store, runtime.ledger, SPACE, Metrics(NoTraces()))
        assert perform(job, actions.add, slow).status is Status.FAIL
        assert runtime.store.count(COLLECTION) == 0

    def test_without_its_image_a_job_fails(self, runtime: Runtime) -> None:
        assert perform(AddJob(**common(runtime), name=None), actions.add, runtime).status is Status.FAIL

    def test_no_face_no_name(self, runtime: Runtime) -> None:
        empty = perform(AddJob(**common(runtime, b""), name=None), actions.add, runtime)
        assert empty.status is Status.FACE_DETECT_FAILED
        named = perform(AddJob(**common(runtime, b"a"), name=None), actions.add, runtime)
        assert named.message[0]["name"] == "ID0"


class TestSearch:
    def test_what_was_added_is_found(self, runtime: Runtime) -> None:
        (added,) = perform(AddJob(**common(runtime, b"a"), name="x"), actions.add, runtime).message
        outcome = perform(SearchJob(**common(runtime, b"a")), actions.search, runtime)
        assert outcome.model_dump(mode="json")["message"] == [
            {"confidence": 100, "name": "x", "person_id": added["person_id"]}
        ]

    def test_nobody(self, runtime: Runtime) -> None:
        assert perform(SearchJob(**common(runtime, b"a")), actions.search, runtime).status is Status.NO_SIMILAR_FACE


class TestDelete:
    def delete(self, runtime: Runtime, person_id: str) -> DeleteJob:
        return DeleteJob(**common(runtime), person_id=uuid.UUID(person_id))

    def added(self, runtime: Runtime) -> str:
        return perform(AddJob(**common(runtime, b"a"), name="x"), actions.add, runtime).message[0]["person_id"]

    def test_a_job_delivered_twice_deletes_once_and_says_the_same(self, runtime: Runtime) -> None:
        job = self.delete(runtime, self.added(runtime))
        for _ in range(2):
            outcome = perform(job, actions.delete, runtime)
            assert (outcome.status, outcome.message) == (Status.OK, FACE_DELETED)
        other = self.delete(runtime, str(job.person_id))
        assert perform(other, actions.delete, runtime).status is Status.PERSON_ID_NOT_EXIST

    def test_a_job_cut_short_after_its_claim_completes_when_it_comes_again(self, runtime: Runtime) -> None:
        job = self.delete(runtime, self.added(runtime))
        assert runtime.ledger.claim_deletion(COLLECTION, job.person_id, job)
        rival = self.delete(runtime, str(job.person_id))
        assert perform(rival, actions.delete, runtime).status is Status.PERSON_ID_NOT_EXIST
        assert perform(job, actions.delete, runtime).status is Status.OK
        assert runtime.store.count(COLLECTION) == 0

    def test_a_face_that_could_not_be_deleted_can_be_deleted_later(self, runtime: Runtime) -> None:
        job = self.delete(runtime, self.added(runtime))
        runtime.store.down = True
        assert perform(job, actions.delete, runtime).status is Status.FAIL
        runtime.store.down = False
        assert perform(self.delete(runtime, str(job.person_id)), actions.delete, runtime).status is Status.OK

    def test_a_claim_does_not_outlive_its_job_for_long(self, runtime: Runtime) -> None:
        job = self.delete(runtime, self.added(runtime))
        runtime.ledger.claim_deletion(COLLECTION, job.person_id, job)
        (key,) = runtime.ledger.redis.keys("fs:deletion:*")
        assert 10 <= runtime.ledger.redis.ttl(key) <= 41


def test_an_unforeseen_error_becomes_fail(runtime: Runtime) -> None:
    def crash(_job: object, _runtime: object) -> str:
        raise ZeroDivisionError

    assert perform(SearchJob(**common(runtime)), crash, runtime).status is Status.FAIL


@pytest.mark.parametrize(
    ("confidence", "text"), [(100.0, "100"), (80.0, "80"), (97.50049, "97.5"), (99.9999, "100"), (95.12345, "95.123")]
)
def test_confidence_is_written_as_the_contract_says(confidence: float, text: str) -> None:
    assert repr(as_number(confidence)) == text


def test_a_beacon_says_whether_the_store_answers_and_goes_at_once(runtime: Runtime) -> None:
    redis = runtime.ledger.redis
    beacon = Beacon(redis, runtime.store, SPACE)
    beacon.start()
    beacon.beat()
    (worker,) = redis.smembers("fs:workers")
    assert b'"store":"ok"' in redis.get(f"fs:worker:{worker.decode()}")
    runtime.store.close()
    beacon.beat()
    assert b'"store":"ok"' not in redis.get(f"fs:worker:{worker.decode()}")
    beacon.stop()
    assert redis.keys("fs:worker*") == []
