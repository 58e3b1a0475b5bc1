"""Faces that are not shown well enough: the answers to callers, and the metrics and logs for operators."""

import base64
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import httpx
import pytest
import structlog
from prometheus_client.parser import text_string_to_metric_families
from redis import Redis

from portraits import astronaut_png, faceless_png, hopper_jpeg, pixels, png, scale, side_by_side
from processes import two_free_ports
from service import Service
from shared.contract import MAX_ADDED, Faces, Flaw, Status
from shared.jobs import (
    AddJob,
    CompareJob,
    Outcome,
    SearchJob,
    image_key,
    new_gateway_id,
    new_job_id,
    new_request_id,
    person_id,
)
from shared.observability.tracing import NoTraces
from spaces import only
from table_faces import FINE, TableFaces
from worker import actions
from worker.ledger import Ledger
from worker.metrics import Metrics
from worker.models.calibration import SFACE
from worker.models.identity import Identity
from worker.runtime import Runtime
from worker.store.memory import MemoryStore
from worker.tasks import perform
from worker.vision.quality import NO_GATES, STANDARD, STRICT, Gates

HEADER = "X-Face-Quality"
COLLECTION = "tenant.facedb.00000000"
SPACE = Identity("test", "0" * 64, 1, 4)


def b64(image: bytes) -> str:
    return base64.b64encode(image).decode()


def blurred(photo: bytes) -> bytes:
    return png(cv2.GaussianBlur(pixels(photo), (0, 0), 6))


BLURRED = blurred(astronaut_png())
TINY = scale(hopper_jpeg(), 0.1)  # a face of 19 pixels
TURNED_DOWN = {"message": "check input image and retry", "status": "FACE_DETECT_FAILED"}


class TestByDefault:
    @pytest.mark.parametrize("name", ["addface", "searchface"])
    @pytest.mark.parametrize("image", [BLURRED, TINY])
    def test_an_unusable_face_is_answered_as_no_face(self, call: Callable, name: str, image: bytes) -> None:
        answer = call(name, img=b64(image))
        assert answer.json() == TURNED_DOWN
        assert HEADER not in answer.headers

    def test_the_good_one_of_two_faces_is_added_with_the_first_name(self, call: Callable) -> None:
        both = side_by_side(BLURRED, hopper_jpeg())
        (added,) = call("addface", img=b64(both)).json()["message"]
        assert added["name"] == "ID0"
        (found,) = call("searchface", img=b64(hopper_jpeg())).json()["message"]
        assert found["person_id"] == added["person_id"]

    def test_a_search_judges_the_most_prominent_face(self, call: Callable) -> None:
        call("addface", img=b64(hopper_jpeg()))
        large_and_blurred = side_by_side(scale(hopper_jpeg(), 0.4), blurred(scale(astronaut_png(), 1.0)))
        assert call("searchface", img=b64(large_and_blurred)).json() == TURNED_DOWN


@pytest.fixture(scope="module")
def port() -> int:
    return two_free_ports()


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory, port: int) -> Iterator[Service]:
    """A service that reports flaws in a header, and is strict about added faces."""
    settings = {
        "FACESEARCH_QUALITY_HEADER": "true",
        "FACESEARCH_QUALITY_ADD": "strict",
        "FACESEARCH_METRICS_PORT": str(port),
        "FACESEARCH_LOG_LEVEL": "debug",
        "FACESEARCH_LOG_FORMAT": "json",
    }
    with Service(tmp_path_factory.mktemp("observed"), settings) as running:
        yield running


class TestReporting:
    def test_the_flaw_is_in_the_header_the_metrics_and_the_log(self, observed: Service, port: int) -> None:
        for name, image, flaw in (
            ("addface", BLURRED, Flaw.BLUR),
            ("searchface", BLURRED, Flaw.BLUR),
            ("searchface", TINY, Flaw.SIZE),
        ):
            before = counted(port + 1, "facesearch_rejected_total", f"quality_{flaw}")
            answer = observed.http.post(f"/v1/{name}", data={"img": b64(image)})
            assert (answer.json(), answer.headers[HEADER]) == (TURNED_DOWN, flaw)
            assert counted(port + 1, "facesearch_rejected_total", f"quality_{flaw}") == before + 1
            job = answer.headers["X-Request-Id"]
            assert [line for line in observed.said if job in line and f'"quality_{flaw}"' in line]

    def test_an_image_without_a_face_has_no_flaw(self, observed: Service) -> None:
        answer = observed.http.post("/v1/searchface", data={"img": b64(faceless_png())})
        assert answer.json() == TURNED_DOWN
        assert HEADER not in answer.headers

    def test_a_replayed_answer_has_the_same_flaw(self, observed: Service) -> None:
        for repeated in (None, "true"):
            headers = {"Idempotency-Key": "twice"}
            answer = observed.http.post("/v1/searchface", data={"img": b64(TINY)}, headers=headers)
            assert answer.headers.get("Idempotent-Replayed") == repeated
            assert answer.headers[HEADER] == Flaw.SIZE

    def test_faces_that_are_left_out_are_counted(self, observed: Service, port: int) -> None:
        before = counted(port + 1, "facesearch_faces_left_out_total", Flaw.BLUR)
        answer = observed.http.post("/v1/addface", data={"img": b64(side_by_side(BLURRED, hopper_jpeg()))})
        assert len(answer.json()["message"]) == 1
        assert HEADER not in answer.headers
        assert counted(port + 1, "facesearch_faces_left_out_total", Flaw.BLUR) == before + 1

    def test_adding_and_searching_have_separate_settings(self, observed: Service) -> None:
        small = b64(scale(hopper_jpeg(), 0.2))  # a face of 38 pixels
        answer = observed.http.post("/v1/addface", data={"img": small})
        assert answer.headers[HEADER] == Flaw.SIZE
        assert observed.http.post("/v1/searchface", data={"img": small}).json()["status"] != "FACE_DETECT_FAILED"


def counted(port: int, name: str, reason: str) -> float:
    text = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=10).raise_for_status().text
    (value,) = (
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and sample.labels == {"reason": reason}
    )
    return value


@pytest.mark.slow
def test_off_refuses_nothing(tmp_path: Path) -> None:
    off = {"FACESEARCH_QUALITY_ADD": "off", "FACESEARCH_QUALITY_SEARCH": "off"}
    with Service(tmp_path, off) as service:
        (added,) = service.http.post("/v1/addface", data={"img": b64(BLURRED)}).json()["message"]
        (found,) = service.http.post("/v1/searchface", data={"img": b64(BLURRED)}).json()["message"]
    assert found == {"confidence": 100, "name": added["name"], "person_id": added["person_id"]}


QUALITIES = {
    ord("b"): replace(FINE, sharpness=0.1),
    ord("t"): replace(FINE, size=10),
    ord("p"): replace(FINE, yaw=60),
}
"""Qualities of faces by letter. All other letters are faces that are shown well."""


@pytest.fixture
def runtime(valkey_url: str) -> Iterator[Runtime]:
    with Redis.from_url(valkey_url) as redis:
        ledger, metrics = Ledger(redis, redis), Metrics(NoTraces())
        yield Runtime(
            TableFaces(QUALITIES), SFACE, MemoryStore(SPACE), ledger, only(SPACE), metrics, 3, Gates(STRICT, STANDARD)
        )


def add(runtime: Runtime, image: bytes, faces: Faces = Faces.ALL) -> tuple[AddJob, Outcome]:
    job = AddJob(**common(runtime, image), collection=COLLECTION, name=None, faces=faces)
    return job, perform(job, actions.add, runtime)


def common(runtime: Runtime, *images: bytes) -> dict:
    job_id = new_job_id(new_gateway_id(), new_request_id())
    for number, image in enumerate(images):
        runtime.ledger.images.set(image_key(job_id, number), image)
    return {"job_id": job_id, "deadline": time.time() + 10}


class TestJudging:
    def test_the_id_of_a_face_does_not_depend_on_faces_that_are_left_out(self, runtime: Runtime) -> None:
        job, outcome = add(runtime, b"bfpg")
        ids = [face["person_id"] for face in outcome.message]
        assert ids == [str(person_id(job.origin, number)) for number in (1, 3)]
        every = perform(job, actions.add, replace(runtime, gates=NO_GATES))
        assert [face["person_id"] for face in every.message][1::2] == ids

    def test_names_are_drawn_for_added_faces_only(self, runtime: Runtime) -> None:
        assert [face["name"] for face in add(runtime, b"bfg")[1].message] == ["ID0", "ID1"]
        assert add(runtime, b"bt")[1].status is Status.FACE_DETECT_FAILED
        assert [face["name"] for face in add(runtime, b"f")[1].message] == ["ID2"]

    def test_if_none_is_left_the_reason_is_the_flaw_of_the_largest(self, runtime: Runtime) -> None:
        _, outcome = add(runtime, b"tb")
        assert (outcome.status, outcome.reason) == (Status.FACE_DETECT_FAILED, Flaw.BLUR)
        assert runtime.store.count(COLLECTION) == 0

    def test_faces_that_are_left_out_are_not_embedded(self, runtime: Runtime) -> None:
        add(runtime, b"bftpg")
        assert runtime.faces.embedded == b"fg"

    def test_faces_that_are_too_small_do_not_count_as_too_many(self, runtime: Runtime) -> None:
        _, outcome = add(runtime, b"t" * 10 + b"f" * MAX_ADDED)
        assert len(outcome.message) == MAX_ADDED
        assert add(runtime, b"b" * 10 + b"f" * MAX_ADDED)[1].status is Status.INVALID_REQUEST

    def test_a_searched_face_is_judged_by_the_gate_for_searches(self, runtime: Runtime) -> None:
        def searched(image: bytes) -> Outcome:
            return perform(SearchJob(**common(runtime, image), collection=COLLECTION), actions.search, runtime)

        assert searched(b"p").status is Status.NO_SIMILAR_FACE
        assert searched(b"b").reason is Flaw.BLUR
        assert searched(b"fb").status is Status.NO_SIMILAR_FACE

    @pytest.mark.parametrize("images", [(b"f", b"t"), (b"t", b"f")])
    def test_both_compared_faces_are_judged_by_the_gate_for_searches(
        self, runtime: Runtime, images: tuple[bytes, bytes]
    ) -> None:
        outcome = perform(CompareJob(**common(runtime, *images)), actions.compare, runtime)
        assert (outcome.status, outcome.reason) == (Status.FACE_DETECT_FAILED, Flaw.SIZE)

    def test_the_log_has_the_flaw_and_nothing_about_the_person(self, runtime: Runtime) -> None:
        with structlog.testing.capture_logs() as lines:
            add(runtime, b"fb")
            add(runtime, b"b")
        left_out = {"event": "face_left_out", "flaw": Flaw.BLUR, "log_level": "debug"}
        assert [line for line in lines if line["event"] == "face_left_out"] == [left_out] * 2
        assert [line.get("rejected") for line in lines if line["event"] == "job_answered"] == [None, "quality_blur"]

    def test_an_outcome_without_a_reason_is_readable_by_older_gateways(self, runtime: Runtime) -> None:
        assert "reason" not in add(runtime, b"f")[1].model_dump(mode="json")


class TestLargest:
    def test_only_the_most_prominent_face_is_added(self, runtime: Runtime) -> None:
        (added,) = add(runtime, b"fg", Faces.LARGEST)[1].message
        assert added["name"] == "ID0"
        (found,) = perform(SearchJob(**common(runtime, b"fg"), collection=COLLECTION), actions.search, runtime).message
        assert (found["person_id"], found["confidence"]) == (added["person_id"], 100)

    def test_no_other_face_is_added_in_its_place(self, runtime: Runtime) -> None:
        _, outcome = add(runtime, b"bf", Faces.LARGEST)
        assert (outcome.status, outcome.reason) == (Status.FACE_DETECT_FAILED, Flaw.BLUR)
        assert runtime.store.count(COLLECTION) == 0

    def test_a_job_delivered_twice_adds_once(self, runtime: Runtime) -> None:
        job, outcome = add(runtime, b"fg", Faces.LARGEST)
        assert perform(job, actions.add, runtime) == outcome
        assert runtime.store.count(COLLECTION) == 1


class TestOne:
    @pytest.mark.parametrize("image", [b"f", b"bf", b"ftp", b"tttf"])
    def test_faces_that_are_left_out_do_not_count(self, runtime: Runtime, image: bytes) -> None:
        (added,) = add(runtime, image, Faces.ONE)[1].message
        assert added["name"] == "ID0"

    @pytest.mark.parametrize("image", [b"fg", b"fbg", b"f" * 300], ids=["two", "two beside a blurred one", "a crowd"])
    def test_several_faces_are_refused_with_the_reason(self, runtime: Runtime, image: bytes) -> None:
        with structlog.testing.capture_logs() as lines:
            _, outcome = add(runtime, image, Faces.ONE)
        assert (outcome.status, outcome.reason) == (Status.FACE_DETECT_FAILED, Flaw.SEVERAL)
        assert outcome.message == "check input image and retry"
        assert runtime.store.count(COLLECTION) == 0
        assert [line["rejected"] for line in lines if line["event"] == "job_answered"] == ["several_faces"]
        (again,) = add(runtime, b"f")[1].message
        assert again["name"] == "ID0"  # no name was drawn

    def test_if_none_is_left_the_reason_is_the_flaw_of_the_largest(self, runtime: Runtime) -> None:
        assert add(runtime, b"tb", Faces.ONE)[1].reason is Flaw.BLUR
