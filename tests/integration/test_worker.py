"""The actions of jobs, on a real broker and the reference store; faces come from a table instead of a model."""

import json
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import pytest
import structlog
from redis import Redis

from processes import wait_for
from shared.contract import FACE_DELETED, MAX_ADDED, Faces, Result, Status
from shared.errors import ImageUnreadable, OperatorError
from shared.idempotency import ASKED, record
from shared.jobs import (
    AddJob,
    CompareJob,
    DeleteJob,
    Once,
    SearchJob,
    SentCalibration,
    image_key,
    new_gateway_id,
    new_job_id,
    new_request_id,
)
from shared.observability.tracing import NoTraces
from spaces import only
from table_faces import TableFaces
from worker import actions
from worker.heartbeat import HeartbeatSender, require_same_embedder
from worker.ledger import OUTLIVE_S, Ledger
from worker.metrics import Metrics
from worker.models.calibration import SFACE, Calibration
from worker.models.identity import Identity
from worker.models.spaces import Spaces
from worker.models.versions import Preprocessing
from worker.photos import as_number
from worker.runtime import Runtime
from worker.search_actions import result_of
from worker.store.base import Point, StoreUnavailable
from worker.store.memory import MemoryStore
from worker.tasks import perform, perform_once
from worker.vision.service import EMBED_BATCH

SPACE = Identity("test", "0" * 64, 1, 4)
COLLECTION = "tenant.facedb.00000000"
LONGEST_DEADLINE_S = 300


@dataclass
class Failing(MemoryStore):
    """A store that can be made to fail."""

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
        yield Runtime(TableFaces(), SFACE, Failing(), Ledger(redis, redis), only(SPACE), Metrics(NoTraces()), 3)


def common(runtime: Runtime, image: bytes | None = None, seconds: float = 10, once: Once | None = None) -> dict:
    job_id = new_job_id(new_gateway_id(), new_request_id())
    if image is not None:
        runtime.ledger.images.set(image_key(job_id), image)
    return {"job_id": job_id, "collection": COLLECTION, "deadline": time.time() + seconds, "once": once}


def begin_record(runtime: Runtime) -> Once:
    """Begin a new idempotency record as a gateway does."""
    once = Once(record=record("tenant", uuid.uuid4().hex), origin=new_request_id(), keep_s=86_400)
    runtime.ledger.redis.hset(once.record, ASKED, "something")
    return once


FORMER, NEWER = (Identity("test", "0" * 64, version, 4) for version in (3, 4))
ANOTHER = Identity("another", "0" * 64, 1, 4)
BOTH = Spaces({FORMER: Preprocessing(3), NEWER: Preprocessing(4)}, [NEWER, FORMER])


class TestFacedbsOfSeveralPreprocessings:
    """A worker that knows two serves facedbs of both, and new ones get the one that it prefers."""

    @pytest.fixture
    def runtime(self, runtime: Runtime) -> Runtime:
        return replace(runtime, store=MemoryStore(NEWER), spaces=BOTH)

    def fill(self, runtime: Runtime, identity: Identity) -> uuid.UUID:
        """Add the face of the image "a" to the facedb, as that preprocessing has it."""
        point = Point(
            uuid.uuid4(), "before", TableFaces.vector(ord("a"), runtime.spaces.preprocessings[identity].version)
        )
        runtime.store.under(identity).add(COLLECTION, [point])
        return point.person_id

    def search(self, runtime: Runtime) -> dict[str, float]:
        outcome = perform(SearchJob(**common(runtime, b"a")), actions.search, runtime)
        assert outcome.status is Status.OK, outcome
        return {face["name"]: face["confidence"] for face in outcome.message}

    @pytest.mark.parametrize("identity", [FORMER, NEWER], ids=["former", "newer"])
    def test_a_facedb_keeps_its_preprocessing(self, runtime: Runtime, identity: Identity) -> None:
        before = self.fill(runtime, identity)
        added = perform(AddJob(**common(runtime, b"a"), name="added"), actions.add, runtime)
        assert added.status is Status.OK
        assert self.search(runtime) == {"before": 100, "added": 100}
        assert runtime.store.identity_of(COLLECTION) == identity
        job = DeleteJob(**common(runtime), person_id=before)
        assert perform(job, actions.delete, runtime).message == FACE_DELETED
        assert self.search(runtime) == {"added": 100}

    def test_a_new_facedb_gets_the_preferred_one(self, runtime: Runtime) -> None:
        assert perform(SearchJob(**common(runtime, b"a")), actions.search, runtime).status is Status.NO_SIMILAR_FACE
        perform(AddJob(**common(runtime, b"a"), name="added"), actions.add, runtime)
        assert runtime.store.identity_of(COLLECTION) == NEWER
        assert self.search(runtime) == {"added": 100}

    @pytest.mark.parametrize("says_so", [True, False], ids=["says so", "of a release that does not"])
    def test_a_new_facedb_gets_the_former_while_a_worker_knows_no_other(self, runtime: Runtime, says_so: bool) -> None:
        """So that a rolling update leaves no facedb that workers of the former release refuse."""
        redis = runtime.ledger.redis
        others = [HeartbeatSender(redis, runtime.store, spaces) for spaces in (BOTH, only(FORMER))]
        for other in others:
            other.send()
        if not says_so:
            for key in redis.keys("fs:worker:*"):
                fields = json.loads(redis.get(key))
                if fields["identity"] == str(FORMER):
                    del fields["identities"]
                redis.set(key, json.dumps(fields))
        perform(AddJob(**common(runtime, b"a"), name="during"), actions.add, runtime)
        assert runtime.store.identity_of(COLLECTION) == FORMER
        others[1].stop()
        runtime.store.drop(COLLECTION)
        perform(AddJob(**common(runtime, b"a"), name="after"), actions.add, runtime)
        assert runtime.store.identity_of(COLLECTION) == NEWER

    def test_a_job_whose_facedb_another_worker_begins_otherwise_meanwhile_can_be_tried_again(
        self, runtime: Runtime
    ) -> None:
        def begin_otherwise() -> None:
            self.fill(runtime, FORMER)

        class Overtaken(TableFaces):
            def embed_all(self, *asked: Any, **options: Any) -> list:
                begin_otherwise()
                return super().embed_all(*asked, **options)

        overtaken = AddJob(**common(runtime, b"a"), name="added")
        assert perform(overtaken, actions.add, replace(runtime, faces=Overtaken())).status is Status.FAIL
        assert self.search(runtime) == {"before": 100}
        assert perform(overtaken, actions.add, runtime).status is Status.OK
        assert self.search(runtime) == {"before": 100, "added": 100}

    def test_a_worker_whose_heartbeat_is_not_understood_counts_as_a_former_one(self, runtime: Runtime) -> None:
        runtime.ledger.redis.sadd("fs:workers", "x")
        runtime.ledger.redis.set("fs:worker:x", "{}")
        perform(AddJob(**common(runtime, b"a"), name="added"), actions.add, runtime)
        assert runtime.store.identity_of(COLLECTION) == FORMER

    def test_a_comparison_uses_the_preprocessing_of_new_facedbs(self, runtime: Runtime) -> None:
        images = {**common(runtime, b"a")}
        runtime.ledger.images.set(image_key(images["job_id"], 1), b"b")
        del images["collection"]
        similarity = perform(CompareJob(**images), actions.compare, runtime).message["similarity"]
        cosine = float(TableFaces.vector(ord("a"), 4) @ TableFaces.vector(ord("b"), 4))
        assert similarity == as_number(SFACE.confidence(cosine))

    def test_a_bad_image_is_reported_before_a_facedb_that_is_refused(self, runtime: Runtime) -> None:
        other = Identity("another", "0" * 64, 3, 4)
        runtime.store.under(other).add(COLLECTION, [Point(uuid.uuid4(), "", TableFaces.vector(1))])
        for job_type, more in ((AddJob, {"name": None}), (SearchJob, {})):
            action = actions.ACTIONS[job_type]
            empty = perform(job_type(**common(runtime, b""), **more), action, runtime)
            assert empty.status is Status.FACE_DETECT_FAILED
            with structlog.testing.capture_logs() as lines:
                refused = perform(job_type(**common(runtime, b"a"), **more), action, runtime)
            assert refused.status is Status.FAIL
            assert [line["error"] for line in lines if line["event"] == "job_failed"] == ["IdentityMismatch"]

    def test_a_bad_image_is_reported_before_a_store_that_does_not_answer(self, runtime: Runtime) -> None:
        jobs = [SearchJob(**common(runtime, image)) for image in (b"", b"a")]
        runtime.store.close()
        statuses = [perform(job, actions.search, runtime).status for job in jobs]
        assert statuses == [Status.FACE_DETECT_FAILED, Status.FAIL]


class TestAdd:
    def test_a_job_delivered_twice_adds_once_with_the_same_outcome(self, runtime: Runtime) -> None:
        job = AddJob(**common(runtime, b"ab"), name=None)
        first = perform(job, actions.add, runtime)
        assert [face["name"] for face in first.message] == ["ID0", "ID1"]
        assert perform(job, actions.add, runtime) == first
        assert runtime.store.count(COLLECTION) == 2
        later = perform(AddJob(**common(runtime, b"c"), name=None), actions.add, runtime)
        assert later.message[0]["name"] == "ID2"

    def test_a_job_past_its_deadline_writes_nothing(self, runtime: Runtime) -> None:
        job = AddJob(**common(runtime, b"a", seconds=-1), name="x")
        assert perform(job, actions.add, runtime).status is Status.FAIL
        assert runtime.store.count(COLLECTION) == 0

    def test_the_deadline_is_checked_again_before_the_write(self, runtime: Runtime) -> None:
        job = AddJob(**common(runtime, b"a", seconds=0.2), name="x")

        class Slow(TableFaces):
            def embed_all(self, *asked: Any, **options: Any) -> list:
                embedded = super().embed_all(*asked, **options)
                while time.time() <= job.deadline:
                    pass
                return embedded

        assert perform(job, actions.add, replace(runtime, faces=Slow())).status is Status.FAIL
        assert runtime.store.count(COLLECTION) == 0

    def test_a_memory_error_is_a_fail_and_not_kept(self, runtime: Runtime) -> None:
        class Full(TableFaces):
            def embed_all(self, *_: object, **_options: object) -> list:
                raise MemoryError

        once = begin_record(runtime)
        job = AddJob(**common(runtime, b"a", once=once), name="x")
        assert perform_once(job, actions.add, replace(runtime, faces=Full())).status is Status.FAIL
        again = AddJob(**common(runtime, b"a", once=once), name="x")
        assert perform_once(again, actions.add, runtime).status is Status.OK

    def test_the_most_faces_of_one_add_are_added(self, runtime: Runtime) -> None:
        outcome = perform(AddJob(**common(runtime, bytes(range(MAX_ADDED))), name=None), actions.add, runtime)
        assert [face["name"] for face in outcome.message] == [f"ID{number}" for number in range(MAX_ADDED)]
        assert runtime.store.count(COLLECTION) == MAX_ADDED

    def test_more_faces_are_refused_without_being_embedded(self, runtime: Runtime) -> None:
        outcome = perform(AddJob(**common(runtime, bytes(MAX_ADDED + 1)), name=None), actions.add, runtime)
        assert (outcome.status, outcome.message) == (
            Status.INVALID_REQUEST,
            "img shows 101 faces; at most 100 can be added at once: send parts of it, or faces=largest",
        )
        assert (runtime.faces.embedded, runtime.store.count(COLLECTION)) == (b"", 0)

    def test_the_largest_of_any_number_is_added(self, runtime: Runtime) -> None:
        job = AddJob(**common(runtime, bytes(range(200))), name="x", faces=Faces.LARGEST)
        assert len(perform(job, actions.add, runtime).message) == 1

    def test_a_job_that_computes_for_too_long_is_refused_for_good(self, runtime: Runtime) -> None:
        class Working(TableFaces):
            def _face(self, *args: Any) -> SimpleNamespace:
                begun = time.thread_time()
                while time.thread_time() - begun < 0.1 / EMBED_BATCH:
                    pass
                return super()._face(*args)

        slow = replace(runtime, faces=Working(), patience_s=0.09)
        job = AddJob(**common(runtime, bytes(range(EMBED_BATCH + 1))), name="x")
        outcome = perform(job, actions.add, slow)
        assert (outcome.status, outcome.message) == (
            Status.INVALID_REQUEST,
            "img shows 17 faces, more than can be added at once here: send parts of it, or faces=largest",
        )
        assert runtime.store.count(COLLECTION) == 0
        assert perform(AddJob(**common(runtime, b"a"), name="x"), actions.add, slow).status is Status.OK

    def test_a_job_that_waits_for_too_long_can_be_tried_again(self, runtime: Runtime) -> None:
        class Waiting(TableFaces):
            def _face(self, *args: Any) -> SimpleNamespace:
                time.sleep(0.1 / EMBED_BATCH)
                return super()._face(*args)

        job = AddJob(**common(runtime, bytes(range(EMBED_BATCH + 1))), name="x")
        waiting = replace(runtime, faces=Waiting(), patience_s=0.09)
        assert perform(job, actions.add, waiting).status is Status.FAIL
        assert perform(job, actions.add, runtime).status is Status.OK

    def test_a_redelivered_add_does_not_restore_a_deleted_face(self, runtime: Runtime) -> None:
        job = AddJob(**common(runtime, b"ab"), name="x")
        first = perform(job, actions.add, runtime)
        gone, stays = (uuid.UUID(face["person_id"]) for face in first.message)
        assert perform(DeleteJob(**common(runtime), person_id=gone), actions.delete, runtime).status is Status.OK
        assert perform(job, actions.add, runtime) == first
        assert not runtime.store.contains(COLLECTION, gone)
        assert runtime.store.contains(COLLECTION, stays)

    def test_an_add_without_its_image_fails(self, runtime: Runtime) -> None:
        assert perform(AddJob(**common(runtime), name=None), actions.add, runtime).status is Status.FAIL

    def test_an_image_without_a_face_draws_no_name(self, runtime: Runtime) -> None:
        empty = perform(AddJob(**common(runtime, b""), name=None), actions.add, runtime)
        assert empty.status is Status.FACE_DETECT_FAILED
        named = perform(AddJob(**common(runtime, b"a"), name=None), actions.add, runtime)
        assert named.message[0]["name"] == "ID0"


class TestSearch:
    def test_an_added_face_is_found(self, runtime: Runtime) -> None:
        (added,) = perform(AddJob(**common(runtime, b"a"), name="x"), actions.add, runtime).message
        outcome = perform(SearchJob(**common(runtime, b"a")), actions.search, runtime)
        assert outcome.model_dump(mode="json")["message"] == [
            {"confidence": 100, "name": "x", "person_id": added["person_id"]}
        ]

    def test_as_many_matches_are_listed_as_are_asked_for(self, runtime: Runtime) -> None:
        for _ in range(3):
            perform(AddJob(**common(runtime, b"a"), name="x"), actions.add, runtime)
        for limit in (1, 2, 50):
            outcome = perform(SearchJob(**common(runtime, b"a"), limit=limit), actions.search, runtime)
            assert len(outcome.message) == min(limit, 3)

    def test_matches_have_the_least_confidence_that_is_asked_for(self, runtime: Runtime) -> None:
        for byte in range(20):
            perform(AddJob(**common(runtime, bytes([byte])), name="x"), actions.add, runtime)
        cosines = [float(TableFaces.vector(byte) @ TableFaces.vector(0)) for byte in range(20)]
        confidences = sorted((runtime.calibration.confidence(cosine) for cosine in cosines), reverse=True)
        for least in (0, 40, 80, 97.5, 100):
            outcome = perform(SearchJob(**common(runtime, b"\0"), min_confidence=least), actions.search, runtime)
            expected = [confidence for confidence in confidences if confidence >= least]
            assert [face["confidence"] for face in outcome.message] == pytest.approx(expected, abs=1e-3)

    def test_the_calibration_of_the_facedb_gives_the_confidences_and_the_threshold(self, runtime: Runtime) -> None:
        for byte in range(20):
            perform(AddJob(**common(runtime, bytes([byte])), name="x"), actions.add, runtime)
        points = ((-1, 0), (0.0, 79), (0.1, 80), (0.9999, 100))
        own = Calibration(points)
        cosines = [float(TableFaces.vector(byte) @ TableFaces.vector(0)) for byte in range(20)]

        def confidences(calibration: SentCalibration | None) -> list[float]:
            search = SearchJob(**common(runtime, b"\0"), calibration=calibration)
            return [face["confidence"] for face in perform(search, actions.search, runtime).message]

        def expected(calibration: Calibration) -> Any:
            found = sorted((calibration.confidence(cosine) for cosine in cosines), reverse=True)
            return pytest.approx([confidence for confidence in found if confidence >= 80], abs=1e-3)

        ours = SentCalibration(identity=str(SPACE), points=points)
        assert confidences(ours) == expected(own) != expected(SFACE)
        # One of another model's embeddings means nothing for these.
        other = SentCalibration(identity=str(replace(SPACE, version=2)), points=points)
        assert confidences(other) == confidences(None) == expected(SFACE)

    def test_an_unknown_face_has_no_match(self, runtime: Runtime) -> None:
        assert perform(SearchJob(**common(runtime, b"a")), actions.search, runtime).status is Status.NO_SIMILAR_FACE


class TestCompare:
    """A job with two images, and no facedb."""

    def job(self, runtime: Runtime, *images: bytes, once: Once | None = None) -> CompareJob:
        job = {name: value for name, value in common(runtime, once=once).items() if name != "collection"}
        for number, image in enumerate(images):
            runtime.ledger.images.set(image_key(job["job_id"], number), image)
        return CompareJob(**job)

    def test_the_same_face_has_a_similarity_of_100(self, runtime: Runtime) -> None:
        outcome = perform(self.job(runtime, b"a", b"ab"), actions.compare, runtime)
        assert outcome.status is Status.OK
        assert outcome.model_dump(mode="json")["message"] == {"similarity": 100, "result": "SAME PERSON"}

    def test_similarity_is_the_confidence_of_the_cosine(self, runtime: Runtime) -> None:
        for one, other in (b"ab", b"ac", b"bc"):
            outcome = perform(self.job(runtime, bytes([one]), bytes([other])), actions.compare, runtime)
            cosine = float(TableFaces.vector(one) @ TableFaces.vector(other))
            similarity = as_number(SFACE.confidence(cosine))
            assert outcome.message == {"similarity": similarity, "result": result_of(similarity)}

    @pytest.mark.parametrize("images", [(b"", b"a"), (b"a", b""), (b"", b"")])
    def test_a_comparison_without_a_face_fails(self, runtime: Runtime, images: tuple[bytes, bytes]) -> None:
        assert perform(self.job(runtime, *images), actions.compare, runtime).status is Status.FACE_DETECT_FAILED

    def test_the_log_says_which_image_has_no_face(self, runtime: Runtime) -> None:
        with structlog.testing.capture_logs() as lines:
            perform(self.job(runtime, b"a", b""), actions.compare, runtime)
        assert [line["image"] for line in lines if line["event"] == "face_not_compared"] == ["img2"]

    def test_an_unreadable_image_is_reported_before_one_without_a_face(self, runtime: Runtime) -> None:
        class Broken(TableFaces):
            def embed_most_prominent(self, data: bytes, *asked: Any, **options: Any) -> SimpleNamespace:
                if data == b"!":
                    raise ImageUnreadable
                return super().embed_most_prominent(data, *asked, **options)

        broken = replace(runtime, faces=Broken())
        for images in ((b"", b"!"), (b"!", b""), (b"a", b"!")):
            assert perform(self.job(runtime, *images), actions.compare, broken).status is Status.IMAGE_INVALID_FORMAT

    def test_a_comparison_without_both_images_fails(self, runtime: Runtime) -> None:
        for images in ((), (b"a",)):
            assert perform(self.job(runtime, *images), actions.compare, runtime).status is Status.FAIL

    def test_a_comparison_keeps_only_its_outcome_under_an_idempotency_key(self, runtime: Runtime) -> None:
        once = begin_record(runtime)
        job = self.job(runtime, b"a", b"b", once=once)
        before = {*runtime.ledger.redis.keys()}
        outcome = perform_once(job, actions.compare, runtime)
        assert {*runtime.ledger.redis.keys()} == before
        assert not runtime.store.collections()
        runtime.ledger.images.delete(image_key(job.job_id), image_key(job.job_id, 1))
        assert perform_once(job, actions.compare, runtime) == outcome

    @pytest.mark.parametrize(
        ("similarity", "result"),
        [
            (100, Result.SAME_PERSON),
            (95, Result.SAME_PERSON),
            (94.999, Result.NOT_SURE),
            (80, Result.NOT_SURE),
            (79.999, Result.NOT_SAME_PERSON),
            (0, Result.NOT_SAME_PERSON),
        ],
    )
    def test_the_result_of_a_similarity(self, similarity: float, result: Result) -> None:
        assert result_of(similarity) is result


class TestDelete:
    def delete(self, runtime: Runtime, person_id: str) -> DeleteJob:
        return DeleteJob(**common(runtime), person_id=uuid.UUID(person_id))

    def added(self, runtime: Runtime) -> str:
        return perform(AddJob(**common(runtime, b"a"), name="x"), actions.add, runtime).message[0]["person_id"]

    def test_a_job_delivered_twice_deletes_once_with_the_same_outcome(self, runtime: Runtime) -> None:
        job = self.delete(runtime, self.added(runtime))
        for _ in range(2):
            outcome = perform(job, actions.delete, runtime)
            assert (outcome.status, outcome.message) == (Status.OK, FACE_DELETED)
        other = self.delete(runtime, str(job.person_id))
        assert perform(other, actions.delete, runtime).status is Status.PERSON_ID_NOT_EXIST

    def test_a_job_interrupted_after_its_claim_completes_when_redelivered(self, runtime: Runtime) -> None:
        job = self.delete(runtime, self.added(runtime))
        assert runtime.ledger.claim_deletion(job)
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

    def test_a_face_is_not_deleted_during_its_write_nor_written_after_its_deletion(self, runtime: Runtime) -> None:
        job = AddJob(**common(runtime, b"ab"), name="x")
        first, second = (uuid.UUID(face["person_id"]) for face in perform(job, actions.add, runtime).message)
        delete = self.delete(runtime, str(first))
        assert runtime.ledger.begin_adding(job, [first, second]) == {first, second}
        assert perform(delete, actions.delete, runtime).status is Status.FAIL
        assert runtime.ledger.end_adding(job, [first, second]) == []
        assert perform(delete, actions.delete, runtime).status is Status.OK
        assert runtime.ledger.begin_adding(job, [first, second]) == {second}

    def test_a_failed_deletion_releases_only_its_own_claim(self, runtime: Runtime) -> None:
        job = self.delete(runtime, self.added(runtime))
        assert runtime.ledger.claim_deletion(job)
        runtime.ledger.release_deletion(self.delete(runtime, str(job.person_id)))
        assert not runtime.ledger.claim_deletion(self.delete(runtime, str(job.person_id)))
        assert runtime.ledger.claimed_deletion(job)

    def test_a_claim_does_not_outlive_its_job_for_long(self, runtime: Runtime) -> None:
        job = self.delete(runtime, self.added(runtime))
        runtime.ledger.claim_deletion(job)
        (key,) = runtime.ledger.redis.keys("fs:deletion:*")
        _, ends = runtime.ledger.redis.get(key).split()
        assert 10 <= int(ends) - time.time() <= 41
        assert runtime.ledger.redis.ttl(key) <= OUTLIVE_S


class TestOnce:
    """Jobs of requests with the same Idempotency-Key."""

    def delete(self, runtime: Runtime, person_id: str, once: Once, seconds: float = 10) -> DeleteJob:
        return DeleteJob(**common(runtime, seconds=seconds, once=once), person_id=uuid.UUID(person_id))

    def test_a_repeated_add_has_the_first_outcome(self, runtime: Runtime) -> None:
        once = begin_record(runtime)
        first = perform_once(AddJob(**common(runtime, b"ab", once=once), name=None), actions.add, runtime)
        assert [face["name"] for face in first.message] == ["ID0", "ID1"]
        assert perform_once(AddJob(**common(runtime, once=once), name=None), actions.add, runtime) == first
        assert runtime.store.count(COLLECTION) == 2

    def test_a_repeated_add_without_a_kept_outcome_has_the_same_effect(self, runtime: Runtime) -> None:
        once = begin_record(runtime)
        lost = perform(AddJob(**common(runtime, b"ab", once=once), name=None), actions.add, runtime)
        again = perform_once(AddJob(**common(runtime, b"ab", once=once), name=None), actions.add, runtime)
        assert again == lost
        assert runtime.store.count(COLLECTION) == 2

    def test_a_fail_is_not_kept(self, runtime: Runtime) -> None:
        once = begin_record(runtime)
        late = AddJob(**common(runtime, b"a", seconds=-1, once=once), name="x")
        assert perform_once(late, actions.add, runtime).status is Status.FAIL
        job = AddJob(**common(runtime, b"a", once=once), name="x")
        assert perform_once(job, actions.add, runtime).status is Status.OK

    def test_a_deletion_is_remembered_longer_than_an_add_can_be_repeated(self, runtime: Runtime) -> None:
        once, redis = begin_record(runtime), runtime.ledger.redis
        redis.expire(once.record, once.keep_s)
        lost = perform(AddJob(**common(runtime, b"ab", once=once), name="x"), actions.add, runtime)
        gone, stays = (uuid.UUID(face["person_id"]) for face in lost.message)
        assert perform(DeleteJob(**common(runtime), person_id=gone), actions.delete, runtime).status is Status.OK
        (claim,) = redis.keys("fs:deletion:*")
        assert redis.ttl(claim) > redis.ttl(once.record) + LONGEST_DEADLINE_S
        assert perform_once(AddJob(**common(runtime, b"ab", once=once), name="x"), actions.add, runtime) == lost
        assert not runtime.store.contains(COLLECTION, gone)
        assert runtime.store.contains(COLLECTION, stays)

    def test_an_add_with_a_kept_outcome_leaves_no_key_and_its_deletion_expires_soon(self, runtime: Runtime) -> None:
        once, redis = begin_record(runtime), runtime.ledger.redis
        redis.expire(once.record, once.keep_s)
        kept = perform_once(AddJob(**common(runtime, b"ab", once=once), name="x"), actions.add, runtime)
        assert not redis.keys("fs:adding:*")
        gone = uuid.UUID(kept.message[0]["person_id"])
        assert perform(DeleteJob(**common(runtime), person_id=gone), actions.delete, runtime).status is Status.OK
        (claim,) = redis.keys("fs:deletion:*")
        assert redis.ttl(claim) <= OUTLIVE_S

    def test_a_repeated_delete_is_ok_again_and_other_deletes_find_no_face(self, runtime: Runtime) -> None:
        (face,) = perform(AddJob(**common(runtime, b"a"), name="x"), actions.add, runtime).message
        once, job_of = begin_record(runtime), self.delete
        assert perform(job_of(runtime, face["person_id"], once), actions.delete, runtime).status is Status.OK
        (key,) = runtime.ledger.redis.keys("fs:deletion:*")
        runtime.ledger.redis.set(key, f"{once.origin} 1", keepttl=True)  # the claim has expired, and is remembered
        assert perform_once(job_of(runtime, face["person_id"], once), actions.delete, runtime).status is Status.OK
        other = perform_once(job_of(runtime, face["person_id"], begin_record(runtime)), actions.delete, runtime)
        assert other.status is Status.PERSON_ID_NOT_EXIST

    def test_an_interrupted_delete_does_not_prevent_others(self, runtime: Runtime) -> None:
        (face,) = perform(AddJob(**common(runtime, b"a"), name="x"), actions.add, runtime).message
        first, second = begin_record(runtime), begin_record(runtime)
        assert runtime.ledger.claim_deletion(self.delete(runtime, face["person_id"], first))
        (key,) = runtime.ledger.redis.keys("fs:deletion:*")
        runtime.ledger.redis.set(key, f"{first.origin} 1", keepttl=True)
        assert (
            perform_once(self.delete(runtime, face["person_id"], second), actions.delete, runtime).status is Status.OK
        )
        late = perform_once(self.delete(runtime, face["person_id"], first), actions.delete, runtime)
        assert late.status is Status.PERSON_ID_NOT_EXIST

    def test_a_delete_that_the_store_did_despite_its_error_is_ok_again(self, runtime: Runtime) -> None:
        (face,) = perform(AddJob(**common(runtime, b"a"), name="x"), actions.add, runtime).message
        once = begin_record(runtime)
        runtime.store.down = True
        assert (
            perform_once(self.delete(runtime, face["person_id"], once), actions.delete, runtime).status is Status.FAIL
        )
        runtime.store.down = False
        runtime.store.delete(COLLECTION, uuid.UUID(face["person_id"]))
        assert perform_once(self.delete(runtime, face["person_id"], once), actions.delete, runtime).status is Status.OK

    def test_the_first_outcome_of_two_simultaneous_jobs_counts_for_both(self, runtime: Runtime) -> None:
        once = begin_record(runtime)
        (face,) = perform(AddJob(**common(runtime, b"a"), name="x"), actions.add, runtime).message

        def overtaken(job: SearchJob, running: Runtime) -> object:
            found = actions.search(job, running)
            running.store.delete(COLLECTION, uuid.UUID(face["person_id"]))
            second = SearchJob(**common(running, b"a", once=once))
            assert perform_once(second, actions.search, running).status is Status.NO_SIMILAR_FACE
            return found

        first = perform_once(SearchJob(**common(runtime, b"a", once=once)), overtaken, runtime)
        assert first.status is Status.NO_SIMILAR_FACE

    def test_an_expired_record_is_not_created_again(self, runtime: Runtime) -> None:
        once = begin_record(runtime)
        runtime.ledger.redis.delete(once.record)
        outcome = perform_once(SearchJob(**common(runtime, b"a", once=once)), actions.search, runtime)
        assert outcome.status is Status.NO_SIMILAR_FACE
        assert not runtime.ledger.redis.exists(once.record)

    def test_an_outcome_that_cannot_be_kept_is_a_fail(self, runtime: Runtime, valkey_url: str) -> None:
        once = begin_record(runtime)
        with Redis.from_url(valkey_url) as other:
            other.set(once.record, "no hash")
        job = AddJob(**common(runtime, b"a", once=once), name="x")
        assert perform_once(job, actions.add, runtime).status is Status.FAIL


def test_an_unexpected_error_is_a_fail(runtime: Runtime) -> None:
    def crash(_job: object, _runtime: object) -> str:
        raise ZeroDivisionError

    assert perform(SearchJob(**common(runtime)), crash, runtime).status is Status.FAIL


@pytest.mark.parametrize(
    ("confidence", "text"), [(100.0, "100"), (80.0, "80"), (97.50049, "97.5"), (99.9999, "100"), (95.12345, "95.123")]
)
def test_confidence_is_written_as_the_contract_says(confidence: float, text: str) -> None:
    assert repr(as_number(confidence)) == text


def test_a_heartbeat_reports_the_store_and_ends_at_once(runtime: Runtime) -> None:
    redis = runtime.ledger.redis
    heartbeat = HeartbeatSender(redis, runtime.store, only(SPACE))
    heartbeat.start()
    heartbeat.send()
    (worker,) = redis.smembers("fs:workers")
    assert b'"store":"ok"' in redis.get(f"fs:worker:{worker.decode()}")
    runtime.store.close()

    def reports_the_store() -> bool:
        heartbeat.send()  # its thread may have read the state before, and send it now
        return b'"store":"ok"' not in redis.get(f"fs:worker:{worker.decode()}")

    wait_for(reports_the_store)
    heartbeat.stop()
    assert redis.keys("fs:worker*") == []


def test_a_worker_does_not_start_beside_one_with_another_embedder(runtime: Runtime) -> None:
    redis = runtime.ledger.redis
    heartbeat = HeartbeatSender(redis, runtime.store, only(ANOTHER))
    heartbeat.send()
    with pytest.raises(OperatorError, match="use another, and this one test: set FACESEARCH_EMBEDDER alike"):
        require_same_embedder(redis, only(SPACE))
    both = Spaces({**only(SPACE).preprocessings, ANOTHER: Preprocessing(1, embedder="another")}, [SPACE, ANOTHER])
    require_same_embedder(redis, both)
    heartbeat.stop()
    require_same_embedder(redis, only(SPACE))


def test_a_new_worker_removes_killed_ones(runtime: Runtime) -> None:
    redis = runtime.ledger.redis
    redis.sadd("fs:workers", "killed", "alive")
    redis.set("fs:worker:alive", "a presence")
    heartbeat = HeartbeatSender(redis, runtime.store, only(SPACE))
    heartbeat.start()
    assert b"killed" not in redis.smembers("fs:workers")
    assert b"alive" in redis.smembers("fs:workers")
    heartbeat.stop()
