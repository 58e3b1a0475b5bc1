"""The actions of jobs about single faces of a person, on a real broker, with the reference store and with the embedded
one.
"""

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from job_runtime import COLLECTION, job_of, job_runtime
from shared.contract import FACE_DELETED, MESSAGES, Status
from shared.idempotency import ORIGIN
from shared.jobs import (
    AddJob,
    CountFacedbsJob,
    DeleteFaceJob,
    DeleteJob,
    FacedbToCount,
    GetPersonJob,
    Job,
    ListPersonsJob,
    Once,
    Outcome,
    SearchJob,
    UpdatePersonJob,
    new_request_id,
)
from shared.persons import MAX_FACES
from table_faces import FINE, TableFaces
from worker.actions import ACTIONS
from worker.models.calibration import SFACE
from worker.runtime import Runtime
from worker.store.base import Face, Point, StoreUnavailable
from worker.store.faces import searched_vector, with_faces
from worker.tasks import perform, perform_once
from worker.vision.quality import STANDARD, Gates


@pytest.fixture(params=["memory", "edge"])
def runtime(request: pytest.FixtureRequest, valkey_url: str, tmp_path: Path) -> Iterator[Runtime]:
    with job_runtime(request.param, valkey_url, tmp_path / "faces") as made:
        yield made


def deliver(runtime: Runtime, job: Job) -> Outcome:
    return perform_once(job, ACTIONS[type(job)], runtime)


def do(runtime: Runtime, job_type: type[Job], image: bytes | None = None, **fields: Any) -> Outcome:
    return deliver(runtime, job_of(runtime, job_type, image, **fields))


def message(outcome: Outcome) -> Any:
    assert outcome.status is Status.OK, outcome
    return outcome.message


def enrol(runtime: Runtime, image: bytes = b"a", **fields: Any) -> str:
    """Add a person of one face, and return its id."""
    (entry,) = message(do(runtime, AddJob, image, **{"name": "Grace", **fields}))
    return str(entry["person_id"])


def give(runtime: Runtime, person: str, image: bytes, name: str | None = None, **fields: Any) -> Any:
    """Add a face to a person, and return the job, which can be delivered again."""
    job = job_of(runtime, AddJob, image, name=name, person_id=person, **fields)
    (entry,) = message(deliver(runtime, job))
    assert entry["person_id"] == person
    return job


def take(runtime: Runtime, person: str, face: object, **fields: Any) -> Outcome:
    return do(runtime, DeleteFaceJob, person_id=person, face_id=str(face), **fields)


def faces(runtime: Runtime, person: str) -> list[str]:
    """Return the ids of a person's faces; none if there is no such person."""
    outcome = do(runtime, GetPersonJob, person_id=person)
    assert outcome.status in (Status.OK, Status.PERSON_ID_NOT_EXIST)
    return [face["face_id"] for face in outcome.message["faces"]] if outcome.status is Status.OK else []


def found(runtime: Runtime, image: bytes) -> list[Any]:
    outcome = do(runtime, SearchJob, image, min_confidence=0)
    return message(outcome) if outcome.status is Status.OK else []


def counted(runtime: Runtime) -> tuple[int, int]:
    facedbs = [FacedbToCount(name="facedb", default=True, collection=COLLECTION)]
    (facedb,) = message(do(runtime, CountFacedbsJob, facedbs=facedbs))
    return facedb["persons"], facedb["faces"]


class TestAddingAFace:
    def test_a_person_is_found_once_by_all_its_faces(self, runtime: Runtime) -> None:
        person = enrol(runtime, b"a")
        added = [give(runtime, person, image).face_id(0) for image in (b"b", b"c")]
        assert faces(runtime, person) == [person, *map(str, added)]
        mean = searched_vector([TableFaces.vector(byte) for byte in b"abc"])
        for byte in b"abc":
            (match,) = found(runtime, bytes([byte]))
            cosine = float(mean @ TableFaces.vector(byte))
            assert match["confidence"] == pytest.approx(SFACE.confidence(cosine), abs=0.01)
        assert counted(runtime) == (1, 3)
        (listed,) = message(do(runtime, ListPersonsJob))["persons"]
        assert (listed["person_id"], listed["faces"]) == (person, 3)

    def test_of_several_faces_none_is_added_if_one_alone_is_asked_for(self, runtime: Runtime) -> None:
        person = enrol(runtime, b"a")
        several = do(runtime, AddJob, b"bc", name=None, person_id=person, faces="one")
        assert (several.status, several.reason) == (Status.FACE_DETECT_FAILED, "several")
        assert faces(runtime, person) == [person]
        poor = replace(FINE, size=20)
        strict = replace(runtime, faces=TableFaces({ord("b"): poor}), gates=Gates(STANDARD, None))
        of_it = [give(strict, person, b"bc", faces="one"), give(runtime, person, b"de", faces="largest")]
        assert faces(runtime, person) == [person, *(str(job.face_id(0)) for job in of_it)]

    def test_the_same_photo_of_the_only_face_gives_100(self, runtime: Runtime) -> None:
        person = enrol(runtime, b"a")
        face = give(runtime, person, b"b").face_id(0)
        assert take(runtime, person, person).message == FACE_DELETED
        assert faces(runtime, person) == [str(face)]
        assert found(runtime, b"b")[0]["confidence"] == 100

    def test_its_quality_and_its_time_are_kept(self, runtime: Runtime) -> None:
        person = enrol(runtime, b"a")
        give(runtime, person, b"b")
        whole = message(do(runtime, GetPersonJob, person_id=person))
        first, second = whole["faces"]
        assert list(first) == ["face_id", "added", "quality"]
        assert first["added"] == whole["added"] < second["added"]
        assert first["quality"] == second["quality"]
        assert second["quality"]["size"] == 110

    def test_only_the_most_prominent_face_of_the_photo_is_added(self, runtime: Runtime) -> None:
        person = enrol(runtime, b"a")
        give(runtime, person, b"bcd")
        assert counted(runtime) == (1, 2)

    def test_what_is_given_changes_the_person_and_the_rest_stays(self, runtime: Runtime) -> None:
        person = enrol(runtime, b"a", external_id="e-1", metadata='{"a":1}')
        (entry,) = message(do(runtime, AddJob, b"b", name=None, person_id=person))
        assert entry == {"name": "Grace", "person_id": person}
        (entry,) = message(do(runtime, AddJob, b"c", name="Ada", person_id=person, external_id="e-2"))
        assert entry["name"] == "Ada"
        whole = message(do(runtime, GetPersonJob, person_id=person))
        assert (whole["name"], whole["external_id"], whole["metadata"]) == ("Ada", "e-2", {"a": 1})

    def test_details_are_those_of_the_face_and_its_person(self, runtime: Runtime) -> None:
        person = enrol(runtime, b"a", external_id="e-1")
        job = job_of(runtime, AddJob, b"b", name=None, person_id=person, details=True)
        (entry,) = message(deliver(runtime, job))
        assert entry["face_id"] == str(job.face_id(0))
        assert (entry["external_id"], entry["faces"], entry["quality"]["size"]) == ("e-1", 2, 110)

    def test_a_person_who_is_not_there_is_unknown(self, runtime: Runtime) -> None:
        for _ in range(2):
            outcome = do(runtime, AddJob, b"b", name=None, person_id=str(uuid.uuid4()))
            assert outcome == Outcome(status=Status.PERSON_ID_NOT_EXIST, message=MESSAGES[Status.PERSON_ID_NOT_EXIST])
            enrol(runtime, b"a")

    def test_a_person_has_at_most_as_many_faces_as_one_can_have(self, runtime: Runtime) -> None:
        person = enrol(runtime, b"a")
        (read,) = runtime.store.get(COLLECTION, [uuid.UUID(person)])
        more = [Face(uuid.UUID(int=n), TableFaces.vector(n), 2**50 + n) for n in range(1, MAX_FACES)]
        runtime.store.replace(COLLECTION, read, with_faces(read, [*read.faces, *more]))
        outcome = do(runtime, AddJob, b"b", name="Ada", person_id=person)
        assert outcome.status is Status.INVALID_REQUEST
        assert "the person has 100 faces already" in str(outcome.message)
        assert counted(runtime) == (1, MAX_FACES)
        assert message(take(runtime, person, more[0].face_id)) == FACE_DELETED
        give(runtime, person, b"b")

    def test_faces_that_cancel_each_other_out_are_refused(self, runtime: Runtime) -> None:
        person = uuid.uuid4()
        runtime.store.add(COLLECTION, [Point(person, "Ada", -TableFaces.vector(ord("b")), 7)])
        outcome = do(runtime, AddJob, b"b", name=None, person_id=str(person))
        assert outcome.status is Status.INVALID_REQUEST
        assert "cancel each other out" in str(outcome.message)
        assert faces(runtime, str(person)) == [str(person)]

    def test_a_face_of_too_low_quality_is_not_added(self, runtime: Runtime) -> None:
        person = enrol(runtime, b"a")
        poor = replace(FINE, size=3)
        strict = replace(runtime, faces=TableFaces({ord("b"): poor}), gates=Gates(STANDARD, None))
        assert do(strict, AddJob, b"b", name=None, person_id=person).status is Status.FACE_DETECT_FAILED
        assert faces(runtime, person) == [person]


class TestDeletingAFace:
    def test_the_last_face_goes_with_the_person(self, runtime: Runtime) -> None:
        person = enrol(runtime, b"a")
        face = give(runtime, person, b"b").face_id(0)
        assert message(take(runtime, person, face)) == FACE_DELETED
        assert faces(runtime, person) == [person]
        assert message(take(runtime, person, person)) == FACE_DELETED
        assert faces(runtime, person) == found(runtime, b"a") == []
        assert counted(runtime) == (0, 0)

    def test_a_face_that_the_person_does_not_have_is_unknown(self, runtime: Runtime) -> None:
        person, other = enrol(runtime, b"a"), enrol(runtime, b"b")
        for wrong in ((person, other), (str(uuid.uuid4()), person), (person, uuid.uuid4())):
            assert take(runtime, *wrong).status is Status.PERSON_ID_NOT_EXIST
        assert take(runtime, person, person).status is Status.OK
        assert take(runtime, person, person).status is Status.PERSON_ID_NOT_EXIST
        assert faces(runtime, other) == [other]

    def test_of_concurrent_deletes_of_one_face_one_is_ok(self, runtime: Runtime) -> None:
        person = enrol(runtime, b"a")
        face = give(runtime, person, b"b").face_id(0)
        with ThreadPoolExecutor(8) as pool:
            outcomes = [*pool.map(lambda _: take(runtime, person, face).status, range(8))]
        assert sorted(outcomes) == sorted([Status.OK, *[Status.PERSON_ID_NOT_EXIST] * 7])
        assert faces(runtime, person) == [person]

    def test_a_person_whose_first_face_was_deleted_can_be_deleted_at_once(self, runtime: Runtime) -> None:
        person = enrol(runtime, b"a")
        give(runtime, person, b"b")
        assert take(runtime, person, person).status is Status.OK
        assert do(runtime, DeleteJob, person_id=person).status is Status.OK
        assert faces(runtime, person) == []

    def test_a_person_goes_with_all_faces(self, runtime: Runtime) -> None:
        person = enrol(runtime, b"a")
        job = give(runtime, person, b"b")
        assert do(runtime, DeleteJob, person_id=person).status is Status.OK
        assert counted(runtime) == (0, 0)
        assert deliver(runtime, job).status is Status.PERSON_ID_NOT_EXIST
        assert take(runtime, person, job.face_id(0)).status is Status.PERSON_ID_NOT_EXIST

    def test_a_face_that_is_being_written_is_not_deleted(self, runtime: Runtime) -> None:
        person = enrol(runtime, b"a")
        job = give(runtime, person, b"b")
        runtime.ledger.begin_adding(job, [job.face_id(0)])
        assert take(runtime, person, job.face_id(0)).status is Status.FAIL
        runtime.ledger.end_adding(job, [job.face_id(0)])
        assert take(runtime, person, job.face_id(0)).status is Status.OK


class TestDeliveredAgain:
    def test_a_face_is_added_once_and_a_later_change_stays(self, runtime: Runtime) -> None:
        person = enrol(runtime, b"a")
        job = give(runtime, person, b"b", name="Ada")
        assert do(runtime, UpdatePersonJob, person_id=person, name="Eve").status is Status.OK
        assert message(deliver(runtime, job)) == [{"name": "Eve", "person_id": person}]
        assert counted(runtime) == (1, 2)

    def test_a_deleted_face_stays_deleted(self, runtime: Runtime) -> None:
        person = enrol(runtime, b"a")
        job = give(runtime, person, b"b")
        assert take(runtime, person, job.face_id(0)).status is Status.OK
        assert message(deliver(runtime, job)) == [{"name": "Grace", "person_id": person}]
        assert faces(runtime, person) == [person]

    def test_the_first_face_stays_deleted_with_and_without_its_person(self, runtime: Runtime) -> None:
        first = job_of(runtime, AddJob, b"a", name="Grace")
        person = message(deliver(runtime, first))[0]["person_id"]
        face = give(runtime, person, b"b").face_id(0)
        assert take(runtime, person, person).status is Status.OK
        deliver(runtime, first)
        assert faces(runtime, person) == [str(face)]
        assert take(runtime, person, face).status is Status.OK
        deliver(runtime, first)
        assert faces(runtime, person) == []

    def test_a_deletion_succeeds_for_its_own_request_only(self, runtime: Runtime) -> None:
        person = enrol(runtime, b"a")
        face = str(give(runtime, person, b"b").face_id(0))
        for which in (face, person):  # the last one is its person, too
            job = job_of(runtime, DeleteFaceJob, person_id=person, face_id=which)
            assert deliver(runtime, job) == deliver(runtime, job)
            assert message(deliver(runtime, job)) == FACE_DELETED
            assert take(runtime, person, which).status is Status.PERSON_ID_NOT_EXIST

    def test_an_add_whose_store_answered_too_late_has_the_effect_of_one(
        self, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        person = enrol(runtime, b"a")
        job = job_of(runtime, AddJob, b"b", name=None, person_id=person)
        written = runtime.store.replace

        def replace_and_fail(*args: Any) -> None:
            written(*args)
            raise StoreUnavailable("no answer")

        with monkeypatch.context() as failing:
            failing.setattr(runtime.store, "replace", replace_and_fail)
            assert deliver(runtime, job).status is Status.FAIL
        assert deliver(runtime, job).status is Status.OK
        assert counted(runtime) == (1, 2)

    def test_a_repetition_under_an_idempotency_key_adds_no_deleted_face(self, runtime: Runtime) -> None:
        """Not even hours later, when the claim of a deletion would be over: the add had no outcome."""
        person = enrol(runtime, b"a")
        record = f"fs:once:tenant:{'0' * 64}"
        origin = new_request_id()
        runtime.ledger.redis.hset(record, ORIGIN, origin)
        runtime.ledger.redis.expire(record, 86_400)
        once = Once(record=record, origin=origin, keep_s=86_400)
        job = job_of(runtime, AddJob, b"b", name=None, person_id=person, once=once)
        perform(job, ACTIONS[AddJob], runtime)  # its worker was killed before the outcome was kept
        assert take(runtime, person, job.face_id(0)).status is Status.OK
        claim = f"fs:deletion:{COLLECTION}:{job.face_id(0)}"
        assert runtime.ledger.redis.ttl(claim) > 80_000
        assert deliver(runtime, job).status is Status.OK
        assert faces(runtime, person) == [person]
        assert not runtime.ledger.redis.zrange(f"fs:adding:{COLLECTION}:{job.face_id(0)}", 0, -1)


def test_concurrent_jobs_about_one_person_all_take_effect(runtime: Runtime) -> None:
    person = enrol(runtime, b"a")
    going = [give(runtime, person, bytes([byte])).face_id(0) for byte in range(4)]
    adds = [job_of(runtime, AddJob, bytes([byte]), name=None, person_id=person) for byte in range(100, 112)]
    deletes = [job_of(runtime, DeleteFaceJob, person_id=person, face_id=str(face)) for face in going]
    renames = [job_of(runtime, UpdatePersonJob, person_id=person, name=name) for name in ("Ada", "Eve")]
    with ThreadPoolExecutor(6) as pool:
        outcomes = [*pool.map(lambda job: deliver(runtime, job).status, [*adds, *deletes, *renames])]
    assert set(outcomes) == {Status.OK}
    (read,) = runtime.store.get(COLLECTION, [uuid.UUID(person)])
    assert {face.face_id for face in read.faces} == {uuid.UUID(person), *(job.face_id(0) for job in adds)}
    np.testing.assert_allclose(read.vector, searched_vector([face.vector for face in read.faces]), atol=1e-6)
    assert read.name in ("Ada", "Eve")
    assert counted(runtime) == (1, 13)
