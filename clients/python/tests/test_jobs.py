"""Calls that are not waited for, and webhooks."""

import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from mock_service import ADDRESS, KEY, Do, answered

from facesearch_client import (
    FaceNotDetected,
    FaceSearch,
    Forbidden,
    InvalidRequest,
    Overloaded,
    Retries,
    SignatureInvalid,
    Webhook,
    read_webhook,
)

IMAGE = b"\xff\xd8\xff an image"
ID = "4fbd9474-e09f-4e7d-9a2f-06fa1167f67e"
JOB = "3f9c0a52b7de.4b1f2f0c9a6e4c8d8f3b7a5e2d1c0b9a"
ACCEPTED = answered("OK", {"job_id": JOB}, 202)
WAITING = answered("OK", {"job_id": JOB, "state": "waiting"}, 202)
ADDED = [{"name": "Grace", "person_id": ID}]


def outcome(status: str, message: Any, code: int = 200) -> httpx.Response:
    return answered(status, message, code, {"X-Job-Id": JOB})


class Script:
    """Answers requests one after the other, and keeps them."""

    def __init__(self, *answers: httpx.Response) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        request.read()
        self.requests.append(request)
        given = self.answers.pop(0)
        return httpx.Response(given.status_code, text=given.text, headers=dict(given.headers.items()))


@pytest.fixture
def service() -> Callable[..., FaceSearch]:
    """Make a client with these answers and options."""

    def make(script: Script, **options: Any) -> FaceSearch:
        return FaceSearch(ADDRESS, KEY, http=httpx.Client(transport=httpx.MockTransport(script)), **options)

    return make


def test_a_call_that_is_not_waited_for_says_so_and_has_its_parameters(do: Do) -> None:
    seen = Script(ACCEPTED)
    job = do(seen, "submit", "addface", IMAGE, name="Grace", webhook_url="https://a.example/x", idempotency_key="mine")
    assert job.id == JOB
    (request,) = seen.requests
    assert (request.method, str(request.url)) == ("POST", f"{ADDRESS}/v1/addface")
    assert request.headers["Prefer"] == "respond-async"
    assert request.headers["X-Webhook-Url"] == "https://a.example/x"
    assert request.headers["Idempotency-Key"] == "mine"
    assert b"Grace" in request.content


def test_a_job_is_asked_for_until_it_has_an_outcome(service: Callable[..., FaceSearch], pauses: list[float]) -> None:
    seen = Script(ACCEPTED, WAITING, WAITING, outcome("OK", ADDED))
    (face,) = service(seen).submit("addface", IMAGE).wait()
    assert (face.person_id, face.name) == (ID, "Grace")
    assert [str(request.url) for request in seen.requests[1:]] == [f"{ADDRESS}/v1/jobs/{JOB}"] * 3
    assert pauses == pytest.approx([0.25, 0.375])
    assert all("Prefer" not in request.headers for request in seen.requests[1:])


def test_a_search_that_found_nobody_is_empty_and_a_deletion_is_none(service: Callable[..., FaceSearch]) -> None:
    seen = Script(
        ACCEPTED,
        outcome("NO_SIMILAR_FACE", "no similar face in db"),
        ACCEPTED,
        outcome("OK", "successfully deleted face"),
    )
    client = service(seen)
    assert client.submit("searchface", IMAGE).wait() == []
    assert client.submit("delface", ID).wait() is None


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (outcome("FACE_DETECT_FAILED", "check input image and retry"), FaceNotDetected),
        (outcome("FAIL", "please try again later", 503), Overloaded),
        (answered("INVALID_REQUEST", "job_id: there is no such job", 404), InvalidRequest),
        (answered("INVALID_REQUEST", "this key may not add", 403), Forbidden),
    ],
)
def test_the_error_of_an_outcome_is_raised_and_not_repeated(
    service: Callable[..., FaceSearch], answer: httpx.Response, error: type[Exception]
) -> None:
    seen = Script(ACCEPTED, answer)
    with pytest.raises(error):
        service(seen, retries=Retries()).submit("addface", IMAGE).wait()
    assert len(seen.requests) == 2


def test_a_look_up_that_fails_is_repeated(service: Callable[..., FaceSearch], pauses: list[float]) -> None:
    failed = answered("FAIL", "please try again later", 503, {"Retry-After": "1"})
    seen = Script(ACCEPTED, failed, outcome("OK", ADDED))
    assert service(seen, retries=Retries()).submit("addface", IMAGE).wait()
    assert len(pauses) == 1


def test_what_the_service_knows_at_once_needs_no_look_up(service: Callable[..., FaceSearch]) -> None:
    seen = Script(answered("OK", ADDED))
    job = service(seen).submit("addface", IMAGE, idempotency_key="mine")
    assert job.id is None
    assert job.wait()[0].person_id == ID


def test_a_refused_call_is_refused_at_once(service: Callable[..., FaceSearch]) -> None:
    with pytest.raises(InvalidRequest, match="X-Webhook-Url"):
        service(Script(answered("INVALID_REQUEST", "X-Webhook-Url is not taken here"))).submit("addface", IMAGE)


def test_waiting_has_an_end_and_may_go_on(service: Callable[..., FaceSearch]) -> None:
    client = service(Script(WAITING, outcome("OK", ADDED)))
    job = client.job("addface", JOB)
    with pytest.raises(TimeoutError):
        job.wait(for_s=0)
    assert job.wait()[0].name == "Grace"


def test_the_job_of_a_search_for_every_face_is_read_as_such(service: Callable[..., FaceSearch]) -> None:
    shown = {
        "box": [0, 0, 9, 9],
        "quality": {"size": 99.5, "sharpness": 0.8, "dark": 0, "bright": 0, "yaw": 1.5, "pitch": -2},
        "matches": [],
    }
    client = service(Script(ACCEPTED, outcome("NO_SIMILAR_FACE", "no similar face in db"), outcome("OK", [shown])))
    assert client.submit("searchface", IMAGE, faces="all").wait() == []
    (face,) = client.job("searchface", JOB, every_face=True).wait()
    assert (face.box, face.matches) == ((0, 0, 9, 9), [])


SECRET = "whsec_test"  # noqa: S105 -- of this test
BODY = json.dumps({"job_id": JOB, "status": "OK", "message": ADDED}).encode()


def signature(body: bytes = BODY, secret: str = SECRET, at: float | None = None) -> str:
    moment = int(time.time() if at is None else at)
    return f"t={moment},v1={hmac.new(secret.encode(), f'{moment}.'.encode() + body, hashlib.sha256).hexdigest()}"


def test_a_signed_webhook_is_read() -> None:
    assert read_webhook(BODY, signature(), SECRET) == Webhook(JOB, "OK", ADDED)
    assert read_webhook(BODY, signature(), ["whsec_former", SECRET]).job_id == JOB


@pytest.mark.parametrize(
    ("body", "signed"),
    [
        (BODY, None),
        (BODY, ""),
        (BODY, "t=1"),
        (BODY, "v1=00"),
        (BODY, "t=x,v1=00"),
        (BODY, "t=1,t=2,v1=00"),
        (BODY, f"t={'9' * 5000},v1=00"),
        (BODY, "t=\u0661,v1=\u00e9"),
        (BODY + b" ", signature()),
        (BODY, signature(secret="whsec_other")),  # noqa: S106 -- of this test
    ],
    ids=range(10),
)
def test_any_other_is_refused(body: bytes, signed: str | None) -> None:
    with pytest.raises(SignatureInvalid):
        read_webhook(body, signed, SECRET)


@pytest.mark.parametrize("seconds", [-400, 400])
def test_one_of_another_time_is_refused(seconds: float) -> None:
    with pytest.raises(SignatureInvalid):
        read_webhook(BODY, signature(at=time.time() + seconds), SECRET)
