"""The answers that a request may get, by which fuzzing, faults, the soak, the contract table and schemathesis judge.

This module is written from docs/contract.md, not from the code of the gateway.
"""

import json
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from shared.calls import (
    ADD_FACE,
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

ACCEPTED: Final = 202
"""The code of an answer to a request that became a job."""

HTTP_CODES: Final = {
    "OK": {200, ACCEPTED},
    "INVALID_REQUEST": {200, 400, 401, 403, 404, 405, 408, 417},
    "FAIL": {429, 503},
}
"""HTTP codes by status; all other statuses have 200."""

DONE: Final = frozenset({"OK", "NO_SIMILAR_FACE", "FACE_DETECT_FAILED"})
"""Statuses of requests that were carried out, which no malformed request may get."""

TIME: Final = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"
"""A time as answers have it: RFC 3339, in UTC, with microseconds."""

SENTENCE: Final = re.compile(r"""[A-Za-z0-9 ,;:.?%/_()'=-]{5,200}""")
"""Plain words, without markup or bytes of the request."""


@dataclass(frozen=True)
class Answer:
    """An answer. code: the HTTP status code. headers: by name in lower case."""

    code: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the decoded body. Raises ValueError."""
        return json.loads(self.body)


def breach(answer: Answer, call: Call | None, *, head: bool = False) -> str | None:
    """Return how an answer breaks the contract, None if it does not.

    call: None for a path that is no call. head: whether the request was HEAD, whose answer has no body.
    """
    if answer.headers.get("content-type") != "application/json; charset=utf-8":
        return f"Content-Type {answer.headers.get('content-type')}"
    if not answer.headers.get("x-request-id"):
        return "no X-Request-Id"
    if (answer.code == 405) != ("allow" in answer.headers):
        return "Allow is for 405"
    if head:
        return None
    wrong = body_breach(answer.code, answer.body, call)
    if wrong is None and (answer.json()["status"] == "FAIL") != ("retry-after" in answer.headers):
        return "Retry-After is for FAIL"
    return wrong


def body_breach(code: int, body: bytes | str, call: Call | None) -> str | None:
    """Return how an HTTP code and a body break the contract, None if they do not."""
    try:
        decoded = json.loads(body)
    except ValueError:
        return "no JSON"
    if not isinstance(decoded, dict) or list(decoded) != ["status", "message"]:
        return "other keys than status and message"
    status, message = decoded["status"], decoded["message"]
    if not isinstance(status, str) or status not in set(Status):
        return "unknown status"
    if code not in HTTP_CODES.get(status, {200}):
        return f"{status} with HTTP {code}"
    if call is not None and Status(status) not in call.statuses:
        return f"{call} cannot answer {status}"
    return _message_breach(status, message, call) if code != ACCEPTED else _job_breach(status, message)


def _job_breach(status: str, message: Any) -> str | None:
    return None if status == "OK" and _is_job(message) else "not the id of a job"


def _is_job(message: Any) -> bool:
    return _has(message, ["job_id"], ["state"]) and bool(re.fullmatch(r"[0-9a-f]{12}\.[0-9a-f]{32}", message["job_id"]))


def _message_breach(status: str, message: object, call: Call | None) -> str | None:
    if status in MESSAGES:
        return None if message == MESSAGES[Status(status)] else "not the exact message"
    if status == "INVALID_REQUEST":
        return None if isinstance(message, str) and SENTENCE.fullmatch(message) else "no plain sentence"
    if call is None or _RESULTS.get(call, lambda result: _is_of_its_type(result, call))(message):
        return None
    return f"not a result of {call}"


def _is_of_its_type(message: object, call: Call) -> bool:
    """Return whether a message is a result of a call that has no check of its own here."""
    try:
        TypeAdapter(call.result).validate_python(message)
    except ValidationError:
        return False
    return True


def _is_comparison(message: Any) -> bool:
    if not _has(message, ["similarity", "result"], ["faces"]):
        return False
    if "faces" in message and not (len(message["faces"]) == 2 and all(map(_is_shown, message["faces"]))):
        return False
    similarity = message["similarity"]
    result = "SAME PERSON" if similarity >= 95 else "NOT SURE" if similarity >= 80 else "NOT SAME PERSON"
    return 0 <= similarity <= 100 and message["result"] == result


def _has(entry: object, names: list[str], optional: list[str]) -> bool:
    """Return whether an object has exactly these keys in this order, and then those of the optional ones."""
    return isinstance(entry, dict) and list(entry) == [
        *names,
        *(name for name in optional if name in entry and name not in names),
    ]


def _is_list_of_faces(message: object, fields: list[str], most: int, least: int = 1) -> bool:
    if not isinstance(message, list) or not least <= len(message) <= most:
        return False
    return all(
        _has(face, fields, DETAILS)
        and _is_uuid(face["person_id"])
        and bool(re.fullmatch("[A-Za-z0-9]{0,128}", face["name"]))
        and 0 <= face.get("confidence", 100) <= 100
        and ("box" not in face or _is_shown(face))
        for face in message
    )


DETAILS: Final = [
    *("existing", "confidence", "face_id", "box", "quality", "added", "external_id", "metadata", "faces"),
    "face_confidences",
]
"""What `unique` and `details` add to an entry."""


def _is_found(message: object) -> bool:
    return _is_list_of_faces(message, ["confidence", "name", "person_id"], 50) or _is_list_of_searched_faces(message)


def _is_list_of_searched_faces(message: object) -> bool:
    if not isinstance(message, list) or not 1 <= len(message) <= 100:
        return False
    keys = [["box", "quality", "matches"], ["box", "quality", "reason", "matches"]]
    return all(
        isinstance(face, dict)
        and list(face) in keys
        and _is_shown(face)
        and face.get("reason", "size") in {"size", "blur", "dark", "bright", "pose"}
        and _is_list_of_faces(face["matches"], ["confidence", "name", "person_id"], 50, least=0)
        for face in message
    ) and any(face["matches"] for face in message)


def _is_shown(face: dict[str, Any]) -> bool:
    box, quality = face["box"], face["quality"]
    return (
        len(box) == 4
        and all(isinstance(number, int) for number in box)
        and list(quality) == ["size", "sharpness", "dark", "bright", "yaw", "pitch"]
        and all(isinstance(number, int | float) for number in quality.values())
    )


def _is_person(message: object) -> bool:
    if not isinstance(message, dict):
        return False
    optional = [name for name in ("external_id", "metadata") if name in message]
    return (
        list(message) == ["person_id", "name", "added", *optional, "faces"]
        and _is_uuid(message["person_id"])
        and isinstance(message["name"], str)
        and (message["added"] is None or bool(re.fullmatch(TIME, str(message["added"]))))
        and bool(re.fullmatch("[!-~]{1,128}", message.get("external_id", "x")))
        and isinstance(message.get("metadata", {}), dict)
        and isinstance(message["faces"], int)
        and 1 <= message["faces"] <= 100
    )


def _is_person_with_faces(message: object) -> bool:
    faces = message.get("faces") if isinstance(message, dict) else None
    return (
        isinstance(message, dict)
        and isinstance(faces, list)
        and _is_person(message | {"faces": len(faces)})
        and len({face["face_id"] for face in faces}) == len(faces)
        and all(map(_is_face_of_person, faces))
    )


def _is_face_of_person(face: Any) -> bool:
    return (
        list(face) == ["face_id", "added", "quality"]
        and _is_uuid(face["face_id"])
        and (face["added"] is None or bool(re.fullmatch(TIME, str(face["added"]))))
        and (face["quality"] is None or _is_shown({"box": [0, 0, 0, 0], "quality": face["quality"]}))
    )


def _is_page(message: object) -> bool:
    if not isinstance(message, dict) or list(message) != ["persons", "next"]:
        return False
    following = message["next"]
    return (
        isinstance(message["persons"], list)
        and len(message["persons"]) <= 100
        and all(map(_is_person, message["persons"]))
        and (following is None or bool(re.fullmatch("[A-Za-z0-9_-]{1,128}", following)))
    )


def _is_list_of_facedbs(message: object) -> bool:
    return (
        isinstance(message, list)
        and all(isinstance(each, dict) for each in message)
        and all(list(each) == ["facedb", "persons", "faces", "default"] for each in message)
        and all(0 <= each["persons"] <= each["faces"] <= 100 * each["persons"] for each in message)
        and sorted(each["facedb"] for each in message) == [each["facedb"] for each in message]
        and [each["default"] for each in message].count(True) == 1
    )


def _is_uuid(text: object) -> bool:
    try:
        return str(uuid.UUID(str(text))) == text
    except ValueError:
        return False


_RESULTS: Final[dict[Call, Callable[[object], bool]]] = {
    ADD_FACE: lambda message: _is_list_of_faces(message, ["name", "person_id"], 100),
    SEARCH_FACE: _is_found,
    DELETE_FACE: lambda message: message == FACE_DELETED,
    COMPARE_FACES: _is_comparison,
    LIST_PERSONS: _is_page,
    GET_PERSON: _is_person_with_faces,
    UPDATE_PERSON: _is_person,
    DELETE_PERSON: lambda message: message == FACE_DELETED,
    DELETE_FACE_OF_PERSON: lambda message: message == FACE_DELETED,
    LIST_FACEDBS: _is_list_of_facedbs,
}
"""Checks of the message of OK, by call."""
