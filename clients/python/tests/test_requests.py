"""What the clients send, and what of it they show."""

import logging
import uuid
from io import BytesIO
from typing import Any

import httpx
import pytest
from mock_service import ADDRESS, KEY, Do, answered
from multipart import MultipartParser, parse_options_header

from facesearch_client import Comparison, FaceSearch, Overloaded, Retries, UnexpectedAnswer, __version__

IMAGE = b"\xff\xd8\xff an image"
ID = "4fbd9474-e09f-4e7d-9a2f-06fa1167f67e"


def body_of(request: httpx.Request) -> dict[str, str | bytes]:
    """Return the fields of a body: texts as text, files as bytes."""
    request.read()
    kind, options = parse_options_header(request.headers["Content-Type"])
    if kind == "application/x-www-form-urlencoded":
        return dict(httpx.QueryParams(request.content.decode()))
    assert kind == "multipart/form-data"
    parser = MultipartParser(BytesIO(request.content), options["boundary"])
    return {part.name: part.raw if part.filename else part.value for part in parser}


class Recorder:
    """Answers every request alike, and keeps them."""

    def __init__(self, message: Any, status: str = "OK") -> None:
        self.requests: list[httpx.Request] = []
        self._answer = answered(status, message).text

    def __call__(self, request: httpx.Request) -> httpx.Response:
        request.read()
        self.requests.append(request)
        return httpx.Response(200, text=self._answer)


def test_an_image_is_sent_as_a_file_with_the_parameters_that_are_given(do: Do) -> None:
    seen = Recorder([{"name": "Grace", "person_id": ID}])
    (face,) = do(seen, "addface", IMAGE, name="Grace", facedb="visitors", faces="one")
    assert (face.person_id, face.name) == (ID, "Grace")
    (request,) = seen.requests
    assert (request.method, str(request.url)) == ("POST", f"{ADDRESS}/v1/addface")
    assert request.headers["X-API-Key"] == KEY
    assert request.headers["User-Agent"] == f"facesearch-client/{__version__}"
    assert body_of(request) == {"img": IMAGE, "name": "Grace", "facedb": "visitors", "faces": "one"}


def test_what_is_left_out_is_not_sent_and_an_empty_name_is(do: Do) -> None:
    seen = Recorder([])
    do(seen, "addface", IMAGE)
    do(seen, "addface", IMAGE, name="")
    assert [body_of(request) for request in seen.requests] == [{"img": IMAGE}, {"img": IMAGE, "name": ""}]


def test_a_search_without_anybody_found_is_an_empty_list(do: Do) -> None:
    seen = Recorder("no similar face in db", "NO_SIMILAR_FACE")
    assert do(seen, "searchface", IMAGE, facedb="visitors") == []
    assert body_of(seen.requests[0]) == {"img": IMAGE, "facedb": "visitors"}


def test_a_search_lists_what_was_found_and_ignores_fields_of_the_future(do: Do) -> None:
    entry = {"confidence": 100, "name": "Grace", "person_id": ID, "face_id": "of the future"}
    (face,) = do(Recorder([entry]), "searchface", IMAGE)
    assert (face.person_id, face.name, face.confidence) == (ID, "Grace", 100.0)
    assert isinstance(face.confidence, float)


def test_a_search_may_ask_for_fewer(do: Do) -> None:
    seen = Recorder([])
    do(seen, "searchface", IMAGE, limit=1, min_confidence=97.5)
    assert body_of(seen.requests[0]) == {"img": IMAGE, "limit": "1", "min_confidence": "97.5"}


@pytest.mark.parametrize("person_id", [ID, uuid.UUID(ID)])
def test_a_delete_is_a_form(do: Do, person_id: str | uuid.UUID) -> None:
    seen = Recorder("successfully deleted face")
    assert do(seen, "delface", person_id, facedb="visitors") is None
    assert seen.requests[0].headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert body_of(seen.requests[0]) == {"person_id": ID, "facedb": "visitors"}


def test_a_comparison_sends_two_images(do: Do) -> None:
    seen = Recorder({"similarity": 26.481, "result": "NOT SAME PERSON"})
    found: Comparison = do(seen, "facecompare", IMAGE, b"BM another")
    assert (found.similarity, found.result.value) == (26.481, "NOT SAME PERSON")
    assert body_of(seen.requests[0]) == {"img1": IMAGE, "img2": b"BM another"}


@pytest.mark.parametrize(("name", "argument"), [("addface", IMAGE), ("delface", ID)])
def test_adds_and_deletes_have_an_idempotency_key_each_or_the_given_one(do: Do, name: str, argument: object) -> None:
    seen = Recorder([])
    for _ in range(2):
        do(seen, name, argument)
    do(seen, name, argument, idempotency_key="mine")
    first, second, third = (request.headers["Idempotency-Key"] for request in seen.requests)
    assert first != second
    assert str(uuid.UUID(first)) == first
    assert third == "mine"


def test_a_search_has_an_idempotency_key_only_if_one_is_given(do: Do) -> None:
    seen = Recorder([])
    do(seen, "searchface", IMAGE)
    do(seen, "searchface", IMAGE, idempotency_key="mine")
    assert [request.headers.get("Idempotency-Key") for request in seen.requests] == [None, "mine"]


def test_the_timeout_for_an_answer_is_the_clients_whatever_httpx_has(do: Do) -> None:
    seen = Recorder([])
    do(seen, "searchface", IMAGE, options={"timeout_s": 33})
    assert seen.requests[0].extensions["timeout"] == {"connect": 5, "read": 33, "write": 33, "pool": 33}


def test_keys_images_and_names_are_not_logged(do: Do, caplog: pytest.LogCaptureFixture, pauses: list[float]) -> None:
    caplog.set_level(logging.DEBUG)
    options = {"retries": Retries(for_s=1000, longest_s=1)}
    answers = iter([answered("FAIL", code=503), answered("OK", [{"name": "Grace", "person_id": ID}])])
    do(lambda _: next(answers), "addface", IMAGE, name="Grace", options=options)
    assert len(pauses) == 1
    assert "addface: Overloaded, next attempt in " in caplog.text
    for secret in (KEY, "an image", "Grace", ID):
        assert secret not in caplog.text


def test_the_key_is_not_sent_to_where_a_redirect_leads() -> None:
    asked: list[str] = []

    def redirect(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.host)
        return httpx.Response(307, headers={"Location": "http://elsewhere.test/"})

    with (
        httpx.Client(transport=httpx.MockTransport(redirect), follow_redirects=True) as http,
        pytest.raises(UnexpectedAnswer, match="it leads elsewhere; give the final address"),
    ):
        FaceSearch(ADDRESS, KEY, http=http).delface(ID)
    assert asked == ["faces.test"]


def test_an_error_does_not_lead_to_the_key(do: Do) -> None:
    """Programs that report errors show the values around them."""

    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    with pytest.raises(Exception, match=r"no answer from http://faces\.test:8000: ConnectError: refused") as caught:
        do(refuse, "delface", ID)
    assert caught.value.__cause__ is caught.value.__context__ is None
    with pytest.raises(Overloaded) as caught:
        do(Recorder("please try again later", "FAIL"), "delface", ID)
    assert KEY not in repr(vars(caught.value))
