"""What the clients send, and what of it they show."""

import json
import logging
import uuid
from datetime import datetime, timezone
from io import BytesIO
from typing import Any

import httpx
import pytest
from mock_service import ADDRESS, KEY, Do, answered
from multipart import MultipartParser, parse_options_header

from facesearch_client import (
    AddedFace,
    Comparison,
    CountedFacedb,
    FaceConfidence,
    FaceOfPerson,
    FaceSearch,
    FoundFace,
    Overloaded,
    Person,
    PersonPage,
    PersonWithFaces,
    Quality,
    Retries,
    SearchedFace,
    ShownFace,
    UnexpectedAnswer,
    __version__,
)

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
    entry = {"confidence": 100, "name": "Grace", "person_id": ID, "from": "the future"}
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


QUALITY = {"size": 110.5, "sharpness": 0.8, "dark": 0, "bright": 0.25, "yaw": -3.5, "pitch": 7.2}
SHOWN = {"box": [10, -4, 90, 120], "quality": QUALITY}


def test_details_of_added_faces(do: Do) -> None:
    about = {"added": "2026-11-28T09:30:00.250000Z", "external_id": "e/1", "metadata": {"floor": 3}, "faces": 1}
    seen = Recorder([{"name": "", "person_id": ID, "face_id": ID, **SHOWN, **about}])
    (face,) = do(seen, "addface", IMAGE, details=True)
    assert body_of(seen.requests[0]) == {"img": IMAGE, "details": "1"}
    added = datetime(2026, 11, 28, 9, 30, 0, 250_000, timezone.utc)
    assert face == AddedFace(
        ID, "", False, None, ID, (10, -4, 90, 120), Quality(**QUALITY), added, "e/1", {"floor": 3}, 1
    )
    assert do(Recorder([{"name": "", "person_id": ID}]), "addface", IMAGE) == [AddedFace(ID, "")]


def test_who_is_there_already(do: Do) -> None:
    seen = Recorder([{"name": "Grace", "person_id": ID, "existing": True, "confidence": 97.5}])
    assert do(seen, "addface", IMAGE, unique=95) == [AddedFace(ID, "Grace", existing=True, confidence=97.5)]
    assert body_of(seen.requests[0]) == {"img": IMAGE, "unique": "95"}


def test_a_search_for_a_person_sends_no_image(do: Do) -> None:
    seen = Recorder([])
    assert do(seen, "searchface", person_id=uuid.UUID(ID)) == []
    assert body_of(seen.requests[0]) == {"person_id": ID}
    for wrong in ((), (IMAGE,)):
        with pytest.raises(ValueError, match="give an image or a person_id"):
            do(seen, "searchface", *wrong, person_id=ID if wrong else None)


def test_details_of_found_faces(do: Do) -> None:
    alike = [{"face_id": ID, "confidence": 99}]
    about = {"added": None, "faces": 1, "face_confidences": alike}
    seen = Recorder([{"confidence": 97.5, "name": "", "person_id": ID, "face_id": ID, **SHOWN, **about}])
    (face,) = do(seen, "searchface", IMAGE, details=True)
    assert body_of(seen.requests[0]) == {"img": IMAGE, "details": "1"}
    assert (face.face_id, face.box, face.added, face.faces) == (ID, (10, -4, 90, 120), None, 1)
    assert face.face_confidences == [FaceConfidence(ID, 99)]


def test_details_of_a_comparison(do: Do) -> None:
    seen = Recorder({"similarity": 100, "result": "SAME PERSON", "faces": [SHOWN, SHOWN]})
    found = do(seen, "facecompare", IMAGE, IMAGE, details=True)
    assert body_of(seen.requests[0]) == {"img1": IMAGE, "img2": IMAGE, "details": "1"}
    assert found.faces == (ShownFace((10, -4, 90, 120), Quality(**QUALITY)),) * 2


def test_a_search_for_all_faces(do: Do) -> None:
    match = {"confidence": 97.5, "name": "Grace", "person_id": ID}
    seen = Recorder([{**SHOWN, "matches": [match]}, {**SHOWN, "reason": "blur", "matches": []}])
    first, second = do(seen, "searchface", IMAGE, faces="all")
    assert body_of(seen.requests[0]) == {"img": IMAGE, "faces": "all"}
    assert first == SearchedFace((10, -4, 90, 120), Quality(**QUALITY), None, [FoundFace(ID, "Grace", 97.5)])
    assert (second.reason, second.matches) == ("blur", [])
    assert do(Recorder("no similar face in db", "NO_SIMILAR_FACE"), "searchface", IMAGE, faces="all") == []


@pytest.mark.parametrize(
    ("wrong", "flaw"),
    [
        ({"box": [1, 2, 3]}, "box is no box"),
        ({"box": [1, 2, 3, "4"]}, "box is no box"),
        ({"quality": {"size": 3}}, "sharpness is missing"),
        ({"matches": None}, "message is no list"),
    ],
)
def test_faces_of_another_form_are_unexpected(do: Do, wrong: dict[str, Any], flaw: str) -> None:
    with pytest.raises(UnexpectedAnswer, match=flaw):
        do(Recorder([{**SHOWN, "matches": [], **wrong}]), "searchface", IMAGE, faces="all")


PERSON = {
    "person_id": ID,
    "name": "Grace",
    "added": "2026-11-28T09:30:00.250000Z",
    "external_id": "e/1",
    "metadata": {"floor": 3},
    "faces": 1,
}


def test_what_is_attached_to_a_face_is_sent_as_text(do: Do) -> None:
    seen = Recorder([])
    do(seen, "addface", IMAGE, external_id="e/1", metadata={"ü": [1.5, None]})
    body = body_of(seen.requests[0])
    assert (body["external_id"], json.loads(body["metadata"])) == ("e/1", {"ü": [1.5, None]})
    with pytest.raises(ValueError, match="JSON compliant"):
        do(seen, "addface", IMAGE, metadata={"a": float("nan")})


def test_a_list_is_asked_for_in_the_query_string(do: Do) -> None:
    seen = Recorder({"persons": [PERSON], "next": "cursor"})
    page: PersonPage = do(seen, "listpersons", facedb="visitors", name="", external_id="e/1", limit=2, after="x-_")
    (request,) = seen.requests
    assert (request.method, request.url.path, request.content) == ("GET", "/v1/persons", b"")
    assert dict(request.url.params) == {
        "facedb": "visitors",
        "name": "",
        "external_id": "e/1",
        "limit": "2",
        "after": "x-_",
    }
    assert "Idempotency-Key" not in request.headers
    added = datetime(2026, 11, 28, 9, 30, 0, 250_000, timezone.utc)
    assert page == PersonPage([Person(ID, "Grace", added, "e/1", {"floor": 3}, 1)], "cursor")


def test_a_person_has_its_faces(do: Do) -> None:
    faces = [
        {"face_id": ID, "added": None, "quality": None},
        {"face_id": "f", "added": PERSON["added"], "quality": SHOWN["quality"]},
    ]
    found = do(Recorder(PERSON | {"faces": faces}), "getperson", ID)
    added = datetime(2026, 11, 28, 9, 30, 0, 250_000, timezone.utc)
    of_it = [FaceOfPerson(ID, None, None), FaceOfPerson("f", added, Quality(**SHOWN["quality"]))]
    assert found == PersonWithFaces(ID, "Grace", added, "e/1", {"floor": 3}, of_it)


def test_a_person_without_anything_attached(do: Do) -> None:
    found = do(Recorder({"person_id": ID, "name": "", "added": None, "faces": 1}), "updateperson", ID, name="")
    assert found == Person(ID, "", None, None, None, 1)


def test_a_face_is_added_to_a_person_and_deleted(do: Do) -> None:
    seen = Recorder([{"name": "Grace", "person_id": ID}])
    do(seen, "addface", IMAGE, person_id=uuid.UUID(ID))
    assert f'name="person_id"\r\n\r\n{ID}\r\n'.encode() in seen.requests[0].content
    assert do(seen, "deleteface", ID, uuid.UUID(ID), facedb="visitors") is None
    do(seen, "deleteface", "a/b", "c/d")
    assert [(request.method, request.url.raw_path) for request in seen.requests[1:]] == [
        ("DELETE", f"/v1/persons/{ID}/faces/{ID}?facedb=visitors".encode()),
        ("DELETE", b"/v1/persons/a%2Fb/faces/c%2Fd"),
    ]
    with pytest.raises(ValueError, match="face_id must be the id of a face"):
        do(seen, "deleteface", ID, "..")


@pytest.mark.parametrize("name", ["getperson", "deleteperson"])
def test_an_id_is_one_part_of_the_path(do: Do, name: str) -> None:
    seen = Recorder(PERSON | {"faces": []})
    do(seen, name, uuid.UUID(ID), facedb="visitors")
    do(seen, name, "a/b?c")
    assert [request.url.raw_path for request in seen.requests] == [
        f"/v1/persons/{ID}?facedb=visitors".encode(),
        b"/v1/persons/a%2Fb%3Fc",
    ]
    for nobody in ("", ".", "..", "/"):
        with pytest.raises(ValueError, match="person_id must be the id of a person"):
            do(seen, name, nobody)


def test_a_change_is_a_form_of_what_is_given(do: Do) -> None:
    seen = Recorder(PERSON)
    do(seen, "updateperson", ID, name="Ada", metadata={"a": 1}, facedb="visitors")
    do(seen, "updateperson", ID, name="", external_id="", metadata="")
    assert [(request.method, request.url.path) for request in seen.requests] == [("PATCH", f"/v1/persons/{ID}")] * 2
    assert body_of(seen.requests[0]) == {"name": "Ada", "metadata": '{"a": 1}', "facedb": "visitors"}
    assert seen.requests[1].content == b"name=&external_id=&metadata="
    with pytest.raises(ValueError, match="nothing is to be changed"):
        do(seen, "updateperson", ID, facedb="visitors")


def test_face_databases_are_counted(do: Do) -> None:
    found = do(Recorder([{"facedb": "default", "persons": 2, "faces": 3, "default": True}]), "listfacedbs")
    assert found == [CountedFacedb("default", 2, 3, True)]


@pytest.mark.parametrize(
    ("message", "flaw"),
    [
        ([], "person_id is missing"),
        (PERSON | {"added": "yesterday"}, "isoformat"),
        (PERSON | {"metadata": "x"}, "metadata is no object"),
        (PERSON | {"faces": "1"}, "faces is no number"),
    ],
)
def test_a_person_of_another_form_is_unexpected(do: Do, message: object, flaw: str) -> None:
    with pytest.raises(UnexpectedAnswer, match=flaw):
        do(Recorder(message), "updateperson", ID, name="x")


@pytest.mark.parametrize(("faces", "flaw"), [(1, "message is no list"), ([{"added": None}], "face_id is missing")])
def test_a_person_with_faces_of_another_form_is_unexpected(do: Do, faces: object, flaw: str) -> None:
    with pytest.raises(UnexpectedAnswer, match=flaw):
        do(Recorder(PERSON | {"faces": faces}), "getperson", ID)


@pytest.mark.parametrize(
    ("name", "argument", "more"),
    [("addface", IMAGE, {}), ("delface", ID, {}), ("updateperson", ID, {"name": "x"}), ("deleteperson", ID, {})],
)
def test_changes_have_an_idempotency_key_each_or_the_given_one(
    do: Do, name: str, argument: object, more: dict[str, str]
) -> None:
    seen = Recorder(PERSON if name == "updateperson" else [])
    for _ in range(2):
        do(seen, name, argument, **more)
    do(seen, name, argument, idempotency_key="mine", **more)
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
