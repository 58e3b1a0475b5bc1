"""The actions of jobs about persons, on a real broker, with the reference store and with the embedded one."""

import itertools
import re
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from redis import Redis

from job_runtime import COLLECTION, job_of, job_runtime
from oracle import TIME
from processes import empty_redis
from shared.contract import FACE_DELETED, MESSAGES, Status
from shared.jobs import (
    AddJob,
    CountFacedbsJob,
    DeleteJob,
    FacedbToCount,
    GetPersonJob,
    Job,
    ListPersonsJob,
    Outcome,
    UpdatePersonJob,
    image_key,
    new_gateway_id,
    new_job_id,
    new_request_id,
)
from table_faces import TableFaces
from worker.actions import ACTIONS
from worker.ledger import Ledger
from worker.runtime import Runtime
from worker.store.base import Point
from worker.tasks import perform

OTHER = "tenant.other.00000000"
METADATA = '{"z":1,"a":{"b":[123456789012345678901,null]}}'


@pytest.fixture(params=["memory", "edge"])
def runtime(request: pytest.FixtureRequest, valkey_url: str, tmp_path: Path) -> Iterator[Runtime]:
    with job_runtime(request.param, valkey_url, tmp_path / "faces") as made:
        yield made


def do(runtime: Runtime, job_type: type[Job], image: bytes | None = None, **fields: Any) -> Outcome:
    """Do a job, by default about COLLECTION, and return its outcome."""
    return perform(job_of(runtime, job_type, image, **fields), ACTIONS[job_type], runtime)


def message(outcome: Outcome) -> Any:
    assert outcome.status is Status.OK, outcome
    return outcome.message


def add(runtime: Runtime, name: str | None = "x", image: bytes = b"a", **fields: Any) -> list[str]:
    """Add the faces of an image. Returns their ids."""
    return [face["person_id"] for face in message(do(runtime, AddJob, image, name=name, **fields))]


def pages(runtime: Runtime, **fields: Any) -> Iterator[list[dict[str, Any]]]:
    """Yield the pages of a list, each read when it is asked for."""
    after = None
    while True:
        page = message(do(runtime, ListPersonsJob, after=after, **fields))
        yield page["persons"]
        after = page["next"]
        if after is None:
            return


def listed(runtime: Runtime, **fields: Any) -> list[str]:
    return [person["person_id"] for page in pages(runtime, **fields) for person in page]


def looked_up(runtime: Runtime, person_id: object) -> dict[str, Any]:
    """Return a person as getperson answers it, with the number of its faces in place of them."""
    person = message(do(runtime, GetPersonJob, person_id=str(person_id)))
    return {**person, "faces": len(person["faces"])}


class TestAdding:
    def test_all_faces_of_an_add_get_what_is_attached_and_a_time_of_their_own(self, runtime: Runtime) -> None:
        before = time.time_ns() // 1000
        ids = add(runtime, "Grace", b"abc", external_id="e-1", metadata=METADATA)
        persons = [runtime.store.person(COLLECTION, uuid.UUID(each)) for each in ids]
        times = [person.added for person in persons if person is not None and person.added is not None]
        assert times == [times[0], times[0] + 1, times[0] + 2]
        assert before <= times[0] <= time.time_ns() // 1000
        assert listed(runtime) == ids
        for person in message(do(runtime, ListPersonsJob))["persons"]:
            assert re.fullmatch(TIME, person["added"])
            assert {name: value for name, value in person.items() if name not in ("person_id", "added")} == {
                "name": "Grace",
                "external_id": "e-1",
                "metadata": {"z": 1, "a": {"b": [123456789012345678901, None]}},
                "faces": 1,
            }

    def test_what_is_not_attached_is_not_in_the_answer(self, runtime: Runtime) -> None:
        (face,) = add(runtime)
        assert list(message(do(runtime, GetPersonJob, person_id=face))) == ["person_id", "name", "added", "faces"]

    def test_a_face_of_a_release_without_times_has_none_and_comes_first(self, runtime: Runtime) -> None:
        (newer,) = add(runtime)
        older = uuid.uuid4()
        runtime.store.add(COLLECTION, [Point(older, "old", TableFaces.vector(1))])
        assert looked_up(runtime, older) == {
            "person_id": str(older),
            "name": "old",
            "added": None,
            "faces": 1,
        }
        assert listed(runtime) == listed(runtime, limit=1) == [str(older), newer]

    def test_an_add_without_attributes_is_a_job_that_workers_of_the_release_before_understand(self) -> None:
        job = AddJob(job_id=new_job_id(new_gateway_id(), new_request_id()), deadline=1, collection=COLLECTION, name="x")
        assert set(job.model_dump()) == {"job_id", "deadline", "once", "collection", "name"}


class TestListing:
    @pytest.mark.parametrize("limit", [1, 2, 3, 100])
    def test_pages_are_whole_and_in_order_and_the_last_has_no_cursor(self, runtime: Runtime, limit: int) -> None:
        ids = [face for image in (b"a", b"bc", b"def") for face in add(runtime, image=image)]
        found = list(pages(runtime, limit=limit))
        assert [person["person_id"] for page in found for person in page] == ids
        assert [len(page) for page in found] == [len(ids[at : at + limit]) for at in range(0, len(ids), limit)]

    def test_an_empty_facedb_has_an_empty_page(self, runtime: Runtime) -> None:
        assert message(do(runtime, ListPersonsJob)) == {"persons": [], "next": None}

    def test_a_filter_takes_who_has_exactly_that(self, runtime: Runtime) -> None:
        grace = [*add(runtime, "Grace", external_id="1"), *add(runtime, "Grace", external_id="2")]
        empty = add(runtime, "", external_id="1")
        assert listed(runtime, name="Grace", limit=1) == grace
        assert listed(runtime, name="grace") == listed(runtime, name="Grac") == []
        assert listed(runtime, name="") == empty
        assert listed(runtime, external_id="1", limit=1) == [grace[0], *empty]
        assert listed(runtime, external_id="1", name="Grace") == grace[:1]

    def test_a_cursor_is_good_for_its_own_list_alone(self, runtime: Runtime) -> None:
        for name in ("x", "x", "y", "y"):
            add(runtime, name)
        cursor = message(do(runtime, ListPersonsJob, limit=1))["next"]
        assert do(runtime, ListPersonsJob, after=cursor, limit=2).status is Status.OK, "another limit is the same list"
        for other in ({"name": "x"}, {"external_id": "x"}, {"collection": OTHER}, {"after": "A" * 56}, {"after": "x"}):
            outcome = do(runtime, ListPersonsJob, **{"after": cursor, **other})
            assert (outcome.status, outcome.message) == (
                Status.INVALID_REQUEST,
                "after is not the next of an answer to the same request; begin again without it",
            )

    def test_another_worker_knows_the_cursor_and_another_installation_does_not(
        self, runtime: Runtime, valkey_url: str, tmp_path: Path
    ) -> None:
        for _ in range(2):
            add(runtime)
        cursor = message(do(runtime, ListPersonsJob, limit=1))["next"]
        (tmp_path / "elsewhere").mkdir()
        with empty_redis(tmp_path / "elsewhere") as elsewhere:
            for url, expected in ((valkey_url, Status.OK), (elsewhere, Status.INVALID_REQUEST)):
                with Redis.from_url(url) as redis:
                    other = replace(runtime, ledger=Ledger(redis, redis))
                    assert do(other, ListPersonsJob, after=cursor).status is expected

    def test_nobody_is_listed_twice_and_nobody_missed_while_others_come_and_go(self, runtime: Runtime) -> None:
        stay = [face for number in range(10) for face in add(runtime, f"s{number}", bytes(range(100)))]
        assert len(stay) == 1000
        go = [face for number in range(3) for face in add(runtime, f"g{number}", bytes(range(100)))]
        over = threading.Event()
        errors: list[BaseException] = []

        def change() -> None:
            chance = Random(5)  # noqa: S311 -- repeatable
            come: list[str] = []
            try:
                while not over.is_set():
                    come += add(runtime, "c", bytes(range(5)))
                    for leaving in (come, go):
                        if leaving:
                            face = leaving.pop(chance.randrange(len(leaving)))
                            assert message(do(runtime, DeleteJob, person_id=face)) == FACE_DELETED
                    message(do(runtime, UpdatePersonJob, person_id=chance.choice(stay), name="renamed"))
            except BaseException as error:
                errors.append(error)
                raise

        thread = threading.Thread(target=change)
        thread.start()
        try:
            lists = []
            for _ in range(3):
                # The changes go on for ever, so the list ends where its end is reached between two of them.
                found = pages(runtime, limit=37)
                lists.append([person["person_id"] for page in itertools.islice(found, 200) for person in page])
        finally:
            over.set()
            thread.join()
        assert not errors
        for found_ids in lists:
            assert len(found_ids) == len(set(found_ids))
            assert [face for face in found_ids if face in set(stay)] == stay


class TestUpdating:
    def test_what_is_given_changes_and_the_rest_stays(self, runtime: Runtime) -> None:
        (face,) = add(runtime, "Grace", external_id="1", metadata=METADATA)
        before = looked_up(runtime, face)
        changed = message(do(runtime, UpdatePersonJob, person_id=face, name="Ada"))
        assert changed == before | {"name": "Ada"} == looked_up(runtime, face)
        changed = message(do(runtime, UpdatePersonJob, person_id=face, external_id="", metadata='{"k":[]}'))
        assert (changed["name"], changed.get("external_id"), changed["metadata"]) == ("Ada", None, {"k": []})
        changed = message(do(runtime, UpdatePersonJob, person_id=face, name="", metadata=""))
        assert changed == {"person_id": face, "name": "", "added": before["added"], "faces": 1}
        assert listed(runtime, name="") == [face]
        assert listed(runtime, external_id="1") == []

    def test_an_unknown_person_is_not_made(self, runtime: Runtime) -> None:
        add(runtime)
        nobody = uuid.uuid4()
        for job in (UpdatePersonJob, GetPersonJob):
            more = {"name": "x"} if job is UpdatePersonJob else {}
            for collection in (COLLECTION, OTHER):
                outcome = do(runtime, job, person_id=nobody, collection=collection, **more)
                assert outcome.status is Status.PERSON_ID_NOT_EXIST
                assert outcome.message == MESSAGES[Status.PERSON_ID_NOT_EXIST]
        assert len(listed(runtime)) == 1

    def test_an_add_that_is_done_again_does_not_undo_it(self, runtime: Runtime) -> None:
        job_id = new_job_id(new_gateway_id(), new_request_id())
        runtime.ledger.images.set(image_key(job_id), b"a")
        job = AddJob(job_id=job_id, deadline=time.time() + 60, collection=COLLECTION, name="first", external_id="1")
        (face,) = message(perform(job, ACTIONS[AddJob], runtime))
        person = message(do(runtime, UpdatePersonJob, person_id=face["person_id"], name="second"))
        assert message(perform(job, ACTIONS[AddJob], runtime)) == [face]
        assert looked_up(runtime, face["person_id"]) == person

    def test_after_its_deadline_nothing_is_changed(self, runtime: Runtime) -> None:
        (face,) = add(runtime, "x")
        outcome = do(runtime, UpdatePersonJob, person_id=face, name="y", deadline=time.time() - 1)
        assert outcome.status is Status.FAIL
        assert message(do(runtime, GetPersonJob, person_id=face))["name"] == "x"


class TestCounting:
    def test_each_facedb_is_counted_in_the_order_that_is_asked(self, runtime: Runtime) -> None:
        add(runtime, image=b"abc")
        add(runtime, image=b"a", collection=OTHER)
        facedbs = [
            FacedbToCount(name=name, default=name == "facedb", collection=collection)
            for name, collection in (("facedb", COLLECTION), ("none", "tenant.none.00000000"), ("other", OTHER))
        ]
        assert message(do(runtime, CountFacedbsJob, facedbs=facedbs)) == [
            {"facedb": "facedb", "persons": 3, "faces": 3, "default": True},
            {"facedb": "none", "persons": 0, "faces": 0, "default": False},
            {"facedb": "other", "persons": 1, "faces": 1, "default": False},
        ]
