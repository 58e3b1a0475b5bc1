"""What every answer must be, whatever was asked. Written from the contract's page, not from the gateway's code."""

import re
import uuid

from fuzz.client import Answer
from shared.calls import ADD_FACE, COMPARE_FACES, DELETE_FACE, Call
from shared.contract import FACE_DELETED, MESSAGES, Status

CODES = {
    "INVALID_REQUEST": {200, 400, 401, 403, 404, 405, 408, 417},
    "FAIL": {429, 503},
}
"""HTTP codes by status; of all others it is 200."""

SENTENCE = re.compile(r"""[A-Za-z0-9 ,;:.?%/_()'=-]{5,200}""")
"""Plain words: no markup, and none of the bytes that were sent."""


def wrong(answer: Answer, call: Call | None, *, head: bool = False) -> str | None:
    """Why it is no answer of the contract, None when it is one. call None: to a path that is none of the calls."""
    if answer.headers.get("content-type") != "application/json; charset=utf-8":
        return f"Content-Type {answer.headers.get('content-type')}"
    if not answer.headers.get("x-request-id"):
        return "no X-Request-Id"
    if head:
        return None
    try:
        body = answer.json()
    except ValueError:
        return "no JSON"
    if not isinstance(body, dict) or list(body) != ["status", "message"]:
        return "other keys than status and message"
    return _wrong_code(answer, body["status"]) or _wrong_message(body["status"], body["message"], call)


def _wrong_code(answer: Answer, status: str) -> str | None:
    if status not in set(Status):
        return "unknown status"
    if answer.code not in CODES.get(status, {200}):
        return f"{status} with HTTP {answer.code}"
    if (status == "FAIL") != ("retry-after" in answer.headers):
        return "Retry-After is for FAIL"
    if (answer.code == 405) != ("allow" in answer.headers):
        return "Allow is for 405"
    return None


def _wrong_message(status: str, message: object, call: Call | None) -> str | None:
    if call is not None and Status(status) not in call.statuses:
        return f"{call} cannot answer {status}"
    if status in MESSAGES:
        return None if message == MESSAGES[Status(status)] else "not the exact message"
    if status == "INVALID_REQUEST":
        return None if isinstance(message, str) and SENTENCE.fullmatch(message) else "no plain sentence"
    return None if call is None else _wrong_result(message, call)


def _wrong_result(message: object, call: Call) -> str | None:
    """Of OK."""
    if call is DELETE_FACE:
        return None if message == FACE_DELETED else "not the exact message"
    if call is COMPARE_FACES:
        return None if _is_comparison(message) else "no comparison"
    if call is ADD_FACE:
        return None if _is_list(message, ["name", "person_id"], 100) else "no list of faces"
    return None if _is_list(message, ["confidence", "name", "person_id"], 50) else "no list of faces"


def _is_comparison(message: object) -> bool:
    if not isinstance(message, dict) or list(message) != ["similarity", "result"]:
        return False
    similarity = message["similarity"]
    result = "SAME PERSON" if similarity >= 95 else "NOT SURE" if similarity >= 80 else "NOT SAME PERSON"
    return 0 <= similarity <= 100 and message["result"] == result


def _is_list(message: object, fields: list[str], most: int) -> bool:
    if not isinstance(message, list) or not 1 <= len(message) <= most:
        return False
    return all(
        list(face) == fields
        and str(uuid.UUID(face["person_id"])) == face["person_id"]
        and re.fullmatch("[A-Za-z0-9]{0,128}", face["name"])
        and 80 <= face.get("confidence", 100) <= 100
        for face in message
    )
