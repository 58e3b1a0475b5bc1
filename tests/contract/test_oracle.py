"""The oracle accepts answers of the contract and names what is wrong with any other."""

import json

import pytest

from oracle import Answer, breach
from shared.calls import (
    ADD_FACE,
    CALLS,
    COMPARE_FACES,
    DELETE_FACE,
    DELETE_FACE_OF_PERSON,
    DELETE_PERSON,
    GET_PERSON,
    LIST_FACEDBS,
    LIST_PERSONS,
    SEARCH_FACE,
    UPDATE_PERSON,
    Call,
)
from shared.contract import FACE_DELETED, MESSAGES, Status

HEADERS = {"content-type": "application/json; charset=utf-8", "x-request-id": "x"}
ID = "4fbd9474-e09f-4e7d-9a2f-06fa1167f67e"
FACE = {"name": "Grace", "person_id": ID}
FOUND = {"confidence": 80, **FACE}
PERSON = {"person_id": ID, "name": "Grace", "added": "2026-11-28T09:30:00.250000Z", "faces": 1}
QUALITY = {"size": 9.5, "sharpness": 0.8, "dark": 0.0, "bright": 0.0, "yaw": -3.0, "pitch": 1.5}
KEPT = [{"face_id": ID, "added": PERSON["added"], "quality": QUALITY}]
FACEDB = {"facedb": "default", "persons": 1, "faces": 1, "default": True}


def judge(status: str, message: object, call: Call | None, code: int = 200, **headers: str) -> str | None:
    body = json.dumps({"status": status, "message": message}).encode()
    return breach(Answer(code, HEADERS | headers, body), call)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (ADD_FACE, [FACE]),
        (SEARCH_FACE, [FOUND]),
        (DELETE_FACE, FACE_DELETED),
        (COMPARE_FACES, {"similarity": 94.9, "result": "NOT SURE"}),
        (LIST_PERSONS, {"persons": [PERSON], "next": None}),
        (GET_PERSON, PERSON | {"faces": KEPT}),
        (UPDATE_PERSON, PERSON),
        (LIST_FACEDBS, [FACEDB]),
    ],
    ids=str,
)
def test_a_result_belongs_to_its_own_call_alone(call: Call, message: object) -> None:
    alike = {DELETE_FACE: {DELETE_PERSON, DELETE_FACE_OF_PERSON}}
    for other in CALLS:
        of_it = other in {call, *alike.get(call, ())}
        assert judge("OK", message, other) == (None if of_it else f"not a result of {other}")


@pytest.mark.parametrize("call", CALLS, ids=str)
def test_a_status_has_its_exact_message_and_belongs_to_its_calls(call: Call) -> None:
    for status, message in MESSAGES.items():
        fails = {"code": 503, "retry-after": "1"} if status is Status.FAIL else {}
        assert judge(status, message, call, **fails) == (
            None if status in call.statuses else f"{call} cannot answer {status}"
        )
        assert judge(status, f"{message}!", call, **fails) is not None


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (ADD_FACE, []),
        (ADD_FACE, [FACE] * 101),
        (ADD_FACE, [FACE | {"person_id": ID.upper()}]),
        (ADD_FACE, [FACE | {"name": "a b"}]),
        (ADD_FACE, ["Grace"]),
        (SEARCH_FACE, [FOUND] * 51),
        (SEARCH_FACE, [FOUND | {"confidence": -0.1}]),
        (SEARCH_FACE, [FACE | {"confidence": 80}]),
        (COMPARE_FACES, {"similarity": 95, "result": "NOT SURE"}),
        (COMPARE_FACES, {"similarity": 100.1, "result": "SAME PERSON"}),
        (GET_PERSON, PERSON | {"added": "2026-11-28 09:30"}),
        (GET_PERSON, PERSON | {"external_id": "x"}),  # not in its place
        (LIST_PERSONS, {"persons": [PERSON] * 101, "next": None}),
        (LIST_PERSONS, {"persons": [PERSON], "next": "a b"}),
        (LIST_FACEDBS, [FACEDB | {"default": False}]),
        (LIST_FACEDBS, []),
    ],
)
def test_a_malformed_result_is_wrong(call: Call, message: object) -> None:
    assert judge("OK", message, call) == f"not a result of {call}"


@pytest.mark.parametrize(
    ("code", "headers", "body", "wrong"),
    [
        (200, {"content-type": "text/html"}, b"", "Content-Type text/html"),
        (200, {"x-request-id": ""}, b"", "no X-Request-Id"),
        (200, {}, b"<p>", "no JSON"),
        (200, {}, b'{"message": "", "status": "OK"}', "other keys than status and message"),
        (200, {}, b'{"status": "FINE", "message": ""}', "unknown status"),
        (200, {}, b'{"status": ["OK"], "message": ""}', "unknown status"),
        (500, {}, b'{"status": "INVALID_REQUEST", "message": "no such face"}', "INVALID_REQUEST with HTTP 500"),
        (405, {}, b'{"status": "INVALID_REQUEST", "message": "use POST"}', "Allow is for 405"),
        (503, {}, b'{"status": "FAIL", "message": "please try again later"}', "Retry-After is for FAIL"),
        (200, {}, b'{"status": "INVALID_REQUEST", "message": "<script>"}', "no plain sentence"),
    ],
)
def test_what_breaks_the_contract_is_named(code: int, headers: dict[str, str], body: bytes, wrong: str) -> None:
    assert breach(Answer(code, HEADERS | headers, body), SEARCH_FACE) == wrong
