"""JSON Schemas of the answers, made from the contract's tables: one for each status, and for OK one for each call."""

from typing import Final

from pydantic import TypeAdapter

from gateway.openapi.requests import Json
from shared.contract import (
    CHARGED,
    FACE_DELETED,
    MAX_ADDED,
    MAX_MATCHES,
    MESSAGES,
    MIN_CONFIDENCE,
    STATUSES_OF,
    SURE_CONFIDENCE,
    AddedFace,
    Call,
    Comparison,
    FoundFace,
    HttpStatus,
    Message,
    Result,
    Status,
)

_SCHEMAS: Final = "#/components/schemas/"
_PERSON_ID: Final = "4fbd9474-e09f-4e7d-9a2f-06fa1167f67e"
_ADDED: Final = [AddedFace(name="ID0", person_id=_PERSON_ID)]
_FOUND: Final = [FoundFace(confidence=99.123, name="Grace", person_id=_PERSON_ID)]
_COMPARED: Final = Comparison(similarity=97.501, result=Result.SAME_PERSON)

# Of each call's OK: the schema of its message, and an example.
_RESULTS: Final[dict[Call, tuple[Json, Message]]] = {
    Call.ADD_FACE: (
        {"type": "array", "minItems": 1, "maxItems": MAX_ADDED, "items": {"$ref": f"{_SCHEMAS}AddedFace"}},
        _ADDED,
    ),
    Call.SEARCH_FACE: (
        {"type": "array", "minItems": 1, "maxItems": MAX_MATCHES, "items": {"$ref": f"{_SCHEMAS}FoundFace"}},
        _FOUND,
    ),
    Call.DELETE_FACE: ({"const": FACE_DELETED}, FACE_DELETED),
    Call.COMPARE_FACES: ({"$ref": f"{_SCHEMAS}Comparison"}, _COMPARED),
}


def envelope(status: Status, message: Json) -> Json:
    """The object {"status": …, "message": …} and nothing else."""
    return {
        "type": "object",
        "properties": {"status": {"const": status.value}, "message": message},
        "required": ["status", "message"],
        "additionalProperties": False,
    }


def schemas() -> Json:
    """Every schema that an answer may have, by name."""
    fixed = {_name(status): envelope(status, {"const": message}) for status, message in MESSAGES.items()}
    results = {_name(Status.OK, call): envelope(Status.OK, message) for call, (message, _) in _RESULTS.items()}
    said = {"type": "string", "description": "what is wrong"}
    return {
        "AddedFace": _entry(AddedFace),
        "FoundFace": _entry(FoundFace, confidence={"type": "number", "minimum": MIN_CONFIDENCE, "maximum": 100}),
        "Comparison": _comparison(),
        **results,
        **fixed,
        _name(Status.INVALID_REQUEST): envelope(Status.INVALID_REQUEST, said),
    }


def of(status: Status) -> Json:
    """The schema of a status other than OK."""
    return {"$ref": _SCHEMAS + _name(status)}


def answers(call: Call, http_status: HttpStatus) -> Json:
    """Content of a call's answers of HTTP 200: which schema it is, is told by the status."""
    names = {status: _name(status, call) for status in Status if _answers_200(call, status, http_status)}
    return {
        "schema": {
            "oneOf": [{"$ref": _SCHEMAS + name} for name in names.values()],
            "discriminator": {
                "propertyName": "status",
                "mapping": {status.value: _SCHEMAS + name for status, name in names.items()},
            },
        },
        "examples": {
            status.value: example(status, _example(call, status), charged=(call, status) in CHARGED) for status in names
        },
    }


def example(status: Status, message: Message, *, charged: bool = False) -> Json:
    """An answer as an example that shows its status by name."""
    return {
        "summary": f"{status}, {'charged' if charged else 'free'}",
        "value": {"status": status.value, "message": message},
    }


def _answers_200(call: Call, status: Status, http_status: HttpStatus) -> bool:
    return call in STATUSES_OF[status] and (status is not Status.FAIL or http_status == "always-200")


def _example(call: Call, status: Status) -> Message:
    if status is Status.OK:
        return _RESULTS[call][1]
    return MESSAGES.get(status, "facedb does not exist")


def _name(status: Status, call: Call | None = None) -> str:
    """Of a status' schema, like NoSimilarFace. A call matters to OK only, as in AddFaceOk."""
    whose = {
        Call.ADD_FACE: "AddFace",
        Call.SEARCH_FACE: "SearchFace",
        Call.DELETE_FACE: "DelFace",
        Call.COMPARE_FACES: "FaceCompare",
    }
    if status is Status.OK and call is not None:
        return f"{whose[call]}Ok"
    return status.value.title().replace("_", "")


def _entry(entry: type[AddedFace | FoundFace], **properties: Json) -> Json:
    """An entry of a list, with what its type does not tell."""
    schema = TypeAdapter(entry).json_schema()
    known = {name: {"type": value.get("type", "string")} for name, value in schema["properties"].items()}
    person_id = {"type": "string", "format": "uuid"}
    return {
        "type": "object",
        "properties": known | {"person_id": person_id} | properties,
        "required": schema["required"],
        "additionalProperties": False,
    }


def _comparison() -> Json:
    """What a comparison found."""
    meaning = (
        f"{Result.SAME_PERSON} from a similarity of {SURE_CONFIDENCE} on, {Result.NOT_SURE} from {MIN_CONFIDENCE} on, "
        f"below that {Result.NOT_SAME_PERSON}"
    )
    return {
        "type": "object",
        "properties": {
            "similarity": {"type": "number", "minimum": 0, "maximum": 100},
            "result": {"enum": [result.value for result in Result], "description": meaning},
        },
        "required": list(Comparison.__annotations__),
        "additionalProperties": False,
    }
