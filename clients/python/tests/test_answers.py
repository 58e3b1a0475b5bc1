"""What the clients make of answers."""

import itertools
import ssl

import httpx
import pytest
from mock_service import Do, answered

from facesearch_client import (
    ConnectionFailed,
    FaceNotDetected,
    FaceSearchError,
    Forbidden,
    ImageTooLarge,
    ImageUnreadable,
    InvalidRequest,
    Overloaded,
    PersonNotFound,
    RateLimited,
    SeveralFaces,
    Unauthorized,
    Unavailable,
    UnexpectedAnswer,
)

IMAGE = b"\xff\xd8\xff an image"
NO_KEY = "X-API-Key header is missing, or its key is unknown or has expired"


@pytest.mark.parametrize(
    ("status", "message", "code", "kind"),
    [
        ("FACE_DETECT_FAILED", "check input image and retry", 200, FaceNotDetected),
        ("PERSON_ID_NOT_EXIST", "check input person id", 200, PersonNotFound),
        ("IMAGE_INVALID_SIZE", "image larger than 2M", 200, ImageTooLarge),
        ("IMAGE_INVALID_FORMAT", "image format not support", 200, ImageUnreadable),
        ("INVALID_REQUEST", "facedb does not exist", 200, InvalidRequest),
        ("INVALID_REQUEST", "unknown path", 404, InvalidRequest),
        ("INVALID_REQUEST", NO_KEY, 401, Unauthorized),
        ("INVALID_REQUEST", NO_KEY, 200, Unauthorized),
        ("INVALID_REQUEST", "this key may not add", 403, Forbidden),
        ("INVALID_REQUEST", "this key may not add", 200, Forbidden),
        ("FAIL", "please try again later", 503, Overloaded),
        ("FAIL", "please try again later", 429, RateLimited),
        ("FAIL", "please try again later", 200, Overloaded),
        ("OF_THE_FUTURE", "", 200, UnexpectedAnswer),
    ],
)
def test_each_status_is_an_error_whatever_the_http_code(
    do: Do, status: str, message: str, code: int, kind: type[FaceSearchError]
) -> None:
    with pytest.raises(FaceSearchError) as caught:
        do(lambda _: answered(status, message, code, {"X-Request-Id": "1234"}), "searchface", IMAGE)
    assert type(caught.value) is kind
    assert (caught.value.http_status, caught.value.request_id) == (code, "1234")
    if kind is not UnexpectedAnswer:
        assert str(caught.value) == f"{status}: {message} (request 1234)"


@pytest.mark.parametrize(
    ("header", "seconds"), [({"Retry-After": "7"}, 7.0), ({}, None), ({"Retry-After": "soon"}, None)]
)
def test_an_overloaded_service_may_say_when_to_come_back(do: Do, header: dict[str, str], seconds: float | None) -> None:
    with pytest.raises(Overloaded) as caught:
        do(lambda _: answered("FAIL", code=503, headers=header), "searchface", IMAGE)
    assert caught.value.retry_after_s == seconds


def test_the_quality_of_a_face_is_told_if_the_service_tells_it(do: Do) -> None:
    def failed(quality: str) -> FaceNotDetected:
        with pytest.raises(FaceNotDetected) as caught:
            do(lambda _: answered("FACE_DETECT_FAILED", headers={"X-Face-Quality": quality}), "addface", IMAGE)
        return caught.value

    assert failed("blur").quality == "blur"
    assert type(failed("several")) is SeveralFaces


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (200, "<html>"),
        (404, ""),
        (301, ""),
        (200, "[]"),
        (200, '{"status": "OK"}'),
        (200, '{"status": 1, "message": ""}'),
        (200, '{"status": "OK", "message": "no list"}'),
        (200, '{"status": "OK", "message": [{"name": "Grace"}]}'),
        (200, '{"status": "OK", "message": [{"name": "Grace", "person_id": "1", "confidence": "100"}]}'),
        (200, '{"status": "OK", "message": [{"name": 7, "person_id": "1", "confidence": 100}]}'),
        (200, '{"status": "OK", "message": ["Grace"]}'),
    ],
)
def test_an_answer_of_something_else_is_an_error_that_names_its_place(do: Do, code: int, text: str) -> None:
    with pytest.raises(UnexpectedAnswer, match=rf"^http://faces\.test:8000 gave an answer of HTTP {code}"):
        do(lambda _: httpx.Response(code, text=text, headers={"Location": "/"}), "searchface", IMAGE)


def test_a_comparison_with_an_unknown_result_is_unexpected(do: Do) -> None:
    with pytest.raises(UnexpectedAnswer, match="PERHAPS"):
        do(lambda _: answered("OK", {"similarity": 1, "result": "PERHAPS"}), "facecompare", IMAGE, IMAGE)


@pytest.mark.parametrize("code", [502, 503, 504])
def test_a_proxy_without_its_service_is_unavailable(do: Do, code: int) -> None:
    with pytest.raises(Unavailable, match=f"^http://faces.test:8000 answered HTTP {code}$") as caught:
        do(lambda _: httpx.Response(code, text="<html>", headers={"Retry-After": "3"}), "searchface", IMAGE)
    assert caught.value.retry_after_s == 3


@pytest.mark.parametrize("kind", [httpx.ConnectError, httpx.ReadTimeout, httpx.WriteError, httpx.RemoteProtocolError])
def test_no_answer_is_a_failed_connection(do: Do, kind: type[httpx.TransportError]) -> None:
    def fail(request: httpx.Request) -> httpx.Response:
        raise kind("", request=request)

    with pytest.raises(ConnectionFailed, match=f"^no answer from http://faces.test:8000: {kind.__name__}$"):
        do(fail, "searchface", IMAGE)


def test_a_certificate_that_is_not_accepted_is_no_matter_of_time(do: Do) -> None:
    asked = itertools.count()

    def fail(request: httpx.Request) -> httpx.Response:
        next(asked)
        try:
            raise ssl.SSLCertVerificationError("self-signed certificate")
        except ssl.SSLError as refused:
            raise httpx.ConnectError("self-signed certificate", request=request) from refused

    with pytest.raises(UnexpectedAnswer, match="certificate of the service is not accepted"):
        do(fail, "searchface", IMAGE)
    assert next(asked) == 1


def test_an_answer_that_cannot_be_unpacked_is_unexpected(do: Do) -> None:
    def broken(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"Content-Encoding": "gzip"}, stream=httpx.ByteStream(b"no gzip"))

    with pytest.raises(UnexpectedAnswer, match="cannot be read: DecodingError"):
        do(broken, "searchface", IMAGE)
