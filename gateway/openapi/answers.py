"""JSON Schemas of the answers: one for each status, and for OK one for each call."""

from collections.abc import Iterable
from typing import Final

from pydantic import TypeAdapter

from gateway.openapi.requests import Json
from shared.calls import Call
from shared.contract import MESSAGES, HttpStatus, Message, Status

_SCHEMAS: Final = "#/components/schemas/"
_UNKNOWN_FACEDB: Final = "facedb does not exist"
"""The example of an INVALID_REQUEST."""


def envelope(status: Status, message: Json) -> Json:
    """Return the schema of {"status": …, "message": …} without any other key."""
    return {
        "type": "object",
        "properties": {"status": {"const": status.value}, "message": message},
        "required": ["status", "message"],
        "additionalProperties": False,
    }


def schemas(calls: Iterable[Call]) -> Json:
    """Return the schemas of all answers of these calls by name, and those of the objects in their results."""
    results: Json = {}
    parts: Json = {}
    for call in calls:
        result = TypeAdapter(call.result).json_schema(ref_template=_SCHEMAS + "{model}")
        parts |= {name: _plain(part) for name, part in result.pop("$defs", {}).items()}
        if "properties" in result:
            parts[result["title"]] = _plain(result)
            result = {"$ref": _SCHEMAS + result["title"]}
        results[_name(Status.OK, call)] = envelope(Status.OK, _plain(result))
    fixed = {_name(status): envelope(status, {"const": message}) for status, message in MESSAGES.items()}
    said = {"type": "string", "description": "what is wrong"}
    return {**parts, **results, **fixed, _name(Status.INVALID_REQUEST): envelope(Status.INVALID_REQUEST, said)}


def ok(call: Call) -> Json:
    """Return the schema of a call's answers of OK."""
    return {"$ref": _SCHEMAS + _name(Status.OK, call)}


def of(status: Status) -> Json:
    """Return the schema of the answers of a status other than OK."""
    return {"$ref": _SCHEMAS + _name(status)}


def answers(call: Call, http_status: HttpStatus) -> Json:
    """Return the content of a call's answers of HTTP 200, in which the status decides the schema."""
    refs = {status: _SCHEMAS + _name(status, call) for status in Status if _answers_200(call, status, http_status)}
    return {
        "schema": {
            "oneOf": [{"$ref": ref} for ref in refs.values()],
            "discriminator": {
                "propertyName": "status",
                "mapping": {status.value: ref for status, ref in refs.items()},
            },
        },
        "examples": {
            status.value: example(status, _message(call, status), charged=status in call.charged) for status in refs
        },
    }


def example(status: Status, message: Message | Json, *, charged: bool = False) -> Json:
    """Return an example of an answer, with its status and its price as the summary."""
    return {
        "summary": f"{status}, {'charged' if charged else 'free'}",
        "value": {"status": status.value, "message": message},
    }


def _answers_200(call: Call, status: Status, http_status: HttpStatus) -> bool:
    return status in call.statuses and (status is not Status.FAIL or http_status == "always-200")


def _message(call: Call, status: Status) -> Message:
    return call.result_example if status is Status.OK else MESSAGES.get(status, _UNKNOWN_FACEDB)


def _name(status: Status, call: Call | None = None) -> str:
    """Return the name of a status' schema, like NoSimilarFace; of a call's OK, like AddFaceOk."""
    name = status.value.title().replace("_", "")
    return f"{call.title}{name}" if call is not None and status is Status.OK else name


_KEYS: Final = ("type", "format", "enum", "minimum", "maximum", "minItems", "maxItems", "items")
"""The first keys of a schema, in this order."""


def _plain(schema: Json) -> Json:
    """Return the schema of a result in the form of the document: without titles and the docstrings of types, and with
    no other keys in its objects.
    """
    first = {key: schema[key] for key in _KEYS if key in schema}
    plain = first | {key: value for key, value in schema.items() if key not in ("title", *_KEYS)}
    if "items" in plain:
        plain["items"] = _plain(plain["items"])
    if "properties" in plain:
        plain.pop("description", None)
        plain["properties"] = {name: _plain(value) for name, value in plain["properties"].items()}
        plain["additionalProperties"] = False
    return plain
