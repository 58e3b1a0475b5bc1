"""The OpenAPI 3.1 document of the admin API, generated from its table of operations (gateway/admin/operations.py).

docs/openapi-admin.json is this document; a test keeps them equal, and `python -m gateway.admin.document` prints it.
"""

import json
import re
import sys
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from types import GenericAlias, UnionType
from typing import Any, Final, get_type_hints

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import JsonSchemaMode
from typing_extensions import is_typeddict

from gateway.admin.bodies import (
    Body,
    ChangedPerson,
    DefaultFacedb,
    ErasedPersons,
    NewFacedb,
    NewKey,
    NewTenant,
    SetRetention,
)
from gateway.admin.middleware import HEADER, UNAUTHORIZED
from gateway.admin.operations import OPERATIONS, PREFIX, Operation
from gateway.http.headers import REQUEST_ID
from gateway.openapi.answers import envelope
from gateway.openapi.requests import Json, parameters
from shared.calls import CALLS, GET_JOB
from shared.contract import MESSAGES, Status
from shared.control import DEFAULT
from shared.usage import COLUMNS

_DESCRIPTION: Final = """\
Tenants, their keys and face databases, and what was used. For operators: on a socket and with a key of its own. Every \
answer is a JSON object with `status` and `message`; here the HTTP code tells what kind of refusal it is."""

_TAGS: Final = {
    "Tenants": "Those with keys and face databases of their own.",
    "Keys": "API keys of a tenant. Each is shown once, when it is made.",
    "Facedbs": "Face databases of a tenant.",
    "Persons": "Who was added to a facedb. A worker answers: without one it is 503.",
    "Usage": "What was asked, and what of it is charged.",
    "Service": "How the service is, what was changed, and the API itself.",
}

# By HTTP code: the name of the response, its meaning, its status, and an example of the message.
_REFUSALS: Final = {
    400: (
        "BadRequest",
        "The request makes no sense.",
        Status.INVALID_REQUEST,
        "'soon' is no time; write 12h, 30d or 4w",
    ),
    401: (
        "Unauthorized",
        f"The header {HEADER} is missing or its key is wrong. Nothing was done.",
        Status.INVALID_REQUEST,
        UNAUTHORIZED,
    ),
    404: ("NotFound", "What the path names is not there.", Status.INVALID_REQUEST, "there is no tenant shop"),
    409: (
        "Conflict",
        "It is there already, or something else depends on it.",
        Status.INVALID_REQUEST,
        "tenant shop exists already",
    ),
    429: (
        "TooManyRequests",
        f"Wrong keys were tried in {HEADER} too often from this address. The right one is always taken.",
        Status.FAIL,
        MESSAGES[Status.FAIL],
    ),
    503: ("Unavailable", "The service could not do it now.", Status.FAIL, MESSAGES[Status.FAIL]),
}

_EXISTING: Final[Json] = {"tenant": DEFAULT, "facedb": DEFAULT}
"""Examples of path variables that exist everywhere. Not used where they would be dropped: tools send the examples."""

_BODIES: Final[Mapping[type[Body], Json]] = {
    NewTenant: {"name": "shop"},
    NewFacedb: {"name": "visitors"},
    NewKey: {"name": "till", "scopes": ["search"], "expires": "30d"},
    DefaultFacedb: {"facedb": DEFAULT},
    ChangedPerson: {"name": "Grace", "external_id": None},
    ErasedPersons: {"external_id": "customer-4711", "confirmed": False},
    SetRetention: {"days": 365, "confirmed": False},
}

_OF_A_KEY: Final = (
    "expires null: never. rate, in requests a second, and concurrency, in requests at once: 0 is any. Both, and "
    "http_status and confidence, null: as the settings say."
)
_DESCRIPTIONS: Final = {
    "Scope": "What a key may do.",
    "Tenant": (
        "Somebody with keys and face databases of their own. facedb: the one that is meant when a request names none."
    ),
    "Key": f"An API key, without the key itself. {_OF_A_KEY}",
    "IssuedKey": f"A key just created. key: the API key itself, shown this once. {_OF_A_KEY}",
    "IssuedSecret": "A webhook secret just made. secret: itself, shown this once.",
    "RevivedWebhooks": "retried: how many webhooks are tried again, for a day.",
    "DeadWebhook": (
        "A webhook that was given up. host: of its URL. status: of the outcome. why: the last attempt failed. "
        "attempts: how many did. created, died: since when it was tried, and when it was given up."
    ),
    "KeyRecord": f"A key, whether it works or not. revoked null: nobody ended it. {_OF_A_KEY}",
    "Estimate": (
        "What confidences stand for in a facedb. stored: its faces; faces: as many of them as were looked at; "
        "repeated: those taken for a further photo of a person. pairs: pairs of strangers. points: the calibration, "
        "cosines with their confidences, by which confidences mean there what they are meant to. identity: of the "
        "embeddings."
    ),
    "Level": (
        "What one confidence stands for in a facedb. meant: the part of the pairs of strangers that is to reach it. "
        "rate: the part that does; low, high: its interval of 95 %. counted false: extrapolated. told false: there are "
        "too few faces, and rate, low and high mean nothing. cosine: of the confidence by the model's calibration. "
        "own: the cosine that the meant part reaches, and error its standard error. ask: the confidence of that cosine "
        "by the model's calibration, to ask for in place of this one."
    ),
    "Confidence": (
        "What the confidences of a facedb are given by. version: 1 from the first change on. table: its calibration, "
        "null for the model's. former: likewise, before the last change."
    ),
    "Table": (
        "A calibration of a facedb: cosines with their confidences. faces: of how many it was measured. identity: of "
        "the embeddings for which it holds."
    ),
    "ListedFacedb": "A face database. retention_days: age at which its faces are deleted, null for never. migration: "
    "`filling` while faces of another model are made, `switched` while the former ones are kept, null otherwise.",
    "Retention": (
        "For how long the faces of a facedb are kept. created: of the facedb. days: age at which a face goes. since: "
        "when it was switched on; persons without a time of adding count as added then."
    ),
    "SetRetention": (
        "For how many days the faces of a facedb are kept. confirmed false: it is refused if faces are older already, "
        "which would be deleted at once."
    ),
    "ErasedPersons": (
        "Who is to be erased: all who have exactly this external_id, or exactly this name; one of both is given. "
        "facedb: only of this one; null: of all of the tenant. confirmed false: it is refused, with their number."
    ),
    "Erasure": (
        "What was erased. deleted: ids of persons by facedb. reason: why not everybody was, and the request is to be "
        "sent again; empty if everybody was. files_from: when a worker begins to remove their bytes from the files."
    ),
    "NewKey": f"An API key to create. {_OF_A_KEY}",
    "ChangedPerson": "What is to change of a person. What is left out stays, null removes; a removed name is empty.",
    "Person": "A person; metadata as it was attached. added null: a release without times added it.",
    "PersonPage": "A part of a list. next: the `after` of the request for those that follow; null at the end.",
    "CountedFacedb": "A facedb and how much is in it. default: whether it is meant when a request names none.",
}
"""Descriptions in place of the docstrings, which are for developers."""

_NAME: Final[Json] = {"type": "string", "description": "1 to 64 letters, digits, - or _"}
_DAY: Final[Json] = {"type": "string", "format": "date"}

_SCHEMAS: Final = "#/components/schemas/"


def document() -> Json:
    schemas = _schemas()
    paths: Json = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    paths[f"{PREFIX}/usage"] = {"get": _usage()}
    paths["/openapi.json"] = {"get": _openapi()}
    return {
        "openapi": "3.1.0",
        "info": {"title": "facesearch, admin API", "version": version("facesearch"), "description": _DESCRIPTION},
        "servers": [{"url": "/"}],
        "security": [{"AdminKey": []}],
        "tags": [{"name": name, "description": description} for name, description in _TAGS.items()],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "AdminKey": {
                    "type": "apiKey",
                    "in": "header",
                    "name": HEADER,
                    "description": "FACESEARCH_ADMIN_KEY, or else the file `admin-key` in the data directory.",
                }
            },
            "headers": {
                REQUEST_ID: {"description": "Names this request.", "required": True, "schema": {"type": "string"}},
                "Retry-After": {
                    "description": "Seconds to wait.",
                    "required": True,
                    "schema": {"type": "integer", "minimum": 1},
                },
            },
            "schemas": schemas,
            "responses": {name: _refusal(code) for code, (name, *_) in _REFUSALS.items()},
        },
    }


@cache
def text() -> str:
    """Return the document as it is served and kept."""
    return json.dumps(document(), indent=2, ensure_ascii=False) + "\n"


def _returned(operation: Operation) -> Any:
    """Return the type of an operation's result."""
    return get_type_hints(operation.perform)["return"]


def _adapters() -> list[tuple[Any, JsonSchemaMode, TypeAdapter[Any]]]:
    """Return the adapters of all types: of results as they are written, of bodies as they are read."""
    answered = {_returned(operation) for operation in OPERATIONS}
    sent = {operation.body for operation in OPERATIONS if operation.body is not None}
    return [
        *((type_, "serialization", TypeAdapter(type_)) for type_ in sorted(answered, key=str)),
        *((type_, "validation", TypeAdapter(type_)) for type_ in sorted(sent, key=str)),
    ]


def _schemas() -> Json:
    _, definitions = TypeAdapter.json_schemas(_adapters(), ref_template=_SCHEMAS + "{model}")
    usage = {
        "type": "object",
        "properties": {
            "rows": {"type": "array", "items": {"$ref": f"{_SCHEMAS}UsageRow"}},
            "totals": {"type": "object", "additionalProperties": {"$ref": f"{_SCHEMAS}UsageTotal"}},
        },
        "required": ["rows", "totals"],
        "additionalProperties": False,
        "description": "Requests by day, tenant, key, call and status, and in all by tenant.",
    }
    count: Json = {"type": "integer", "minimum": 0}
    row: Json = {
        "day": _DAY,
        "tenant": {"type": "string"},
        "key": {"type": "string"},
        "call": {"enum": [call.name for call in (*CALLS, GET_JOB)]},
        "status": {"enum": [status.value for status in Status]},
        "count": count,
        "charged": {"type": "boolean"},
        "key_name": {"type": "string"},
    }
    total = {"charged": count, "free": count}
    made = {"Usage": usage, "UsageRow": _object({name: row[name] for name in COLUMNS}), "UsageTotal": _object(total)}
    schemas = {name: _without_titles(schema) for name, schema in sorted((definitions["$defs"] | made).items())}
    for name, description in _DESCRIPTIONS.items():
        schemas[name]["description"] = description
    return schemas


def _object(properties: Json) -> Json:
    return {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}


def _without_titles(schema: Any) -> Any:
    """Remove titles, which repeat the names."""
    if isinstance(schema, list):
        return [_without_titles(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    return {key: _without_titles(part) for key, part in schema.items() if key != "title" or not isinstance(part, str)}


def _message(type_: Any) -> Json:
    if isinstance(type_, UnionType):  # of a type and None
        kind, _ = type_.__args__
        return {"anyOf": [_message(kind), {"type": "null"}]}
    if isinstance(type_, GenericAlias):
        (item,) = type_.__args__
        return {"type": "array", "items": _message(item)}
    if is_typeddict(type_) or issubclass(type_, BaseModel):
        return {"$ref": _SCHEMAS + type_.__name__}
    return {"type": "string", "description": "what was done"}


def _operation(operation: Operation) -> Json:
    variables = re.findall(r"{(\w+)}", operation.path)
    refusals = [401, 429, 503]
    if operation.body is not None or operation.refusable:
        refusals.append(400)
    if variables:
        refusals.append(404)
    if operation.conflicts:
        refusals.append(409)
    success = _response("Done.", envelope(Status.OK, _message(_returned(operation))))
    described: Json = {
        "operationId": operation.perform.__name__,
        "tags": [_tag(operation.path)],
        "summary": operation.summary,
        "parameters": [
            *(_variable(name, is_safe=operation.method != "DELETE") for name in variables),
            *_query_parameters(operation),
        ],
    }
    if operation.body is not None:
        content = {"schema": {"$ref": _SCHEMAS + operation.body.__name__}, "example": _BODIES[operation.body]}
        described["requestBody"] = {"required": True, "content": {"application/json": content}}
    return described | {"responses": {str(operation.http_status): success} | _refused(*refusals)}


def _query_parameters(operation: Operation) -> list[Json]:
    """Return the parameters in the query string, as the document of the calls describes them."""
    if operation.query is None:
        return []
    names = operation.query_parameters()
    return [each for each in parameters(operation.query, operation.query.parameters) if each["name"] in names]


def _tag(path: str) -> str:
    if path in (f"{PREFIX}/service", f"{PREFIX}/audit"):
        return "Service"
    what = path.removeprefix(PREFIX).partition("{tenant}")[2]
    if "/persons" in what or what == "/erasures":
        return "Persons"
    return "Keys" if what.startswith(("/keys", "/all-keys")) else "Facedbs" if "facedb" in what else "Tenants"


def _variable(name: str, *, is_safe: bool) -> Json:
    schema: Json = {"type": "string"} if name in ("key_id", "person_id") else _NAME
    example = {"example": _EXISTING[name]} if is_safe and name in _EXISTING else {}
    return {"name": name, "in": "path", "required": True, "schema": schema} | example


def _usage() -> Json:
    """Describe `usage`, which is not in the table because it answers in two formats."""
    query = (
        ("from", "First day.", _DAY),
        ("to", "Last day, itself included.", _DAY),
        ("tenant", "Only what this one used; `-` is what no key was sent with.", {"type": "string"}),
        ("format", "json, or csv with a header line (RFC 4180).", {"enum": ["json", "csv"], "default": "json"}),
    )
    success = _response("What was used.", envelope(Status.OK, {"$ref": f"{_SCHEMAS}Usage"}))
    success["content"]["text/csv"] = {"schema": {"type": "string"}}
    return {
        "operationId": "usage",
        "tags": ["Usage"],
        "summary": "What was used",
        "parameters": [
            {"name": name, "in": "query", "description": description, "schema": schema}
            for name, description, schema in query
        ],
        "responses": {"200": success} | _refused(400, 401, 429, 503),
    }


def _openapi() -> Json:
    response = _response("This document.", {"type": "object"})
    return {
        "operationId": "openapi",
        "tags": ["Service"],
        "summary": "This document",
        "responses": {"200": response} | _refused(401, 429),
    }


def _refused(*codes: int) -> Json:
    return {str(code): {"$ref": f"#/components/responses/{_REFUSALS[code][0]}"} for code in sorted(codes)}


def _refusal(code: int) -> Json:
    _, description, status, said = _REFUSALS[code]
    message: Json = {"const": said} if status is Status.FAIL else {"type": "string", "description": "what is wrong"}
    response = _response(description, envelope(status, message), *(["Retry-After"] if status is Status.FAIL else []))
    value = {"status": status.value, "message": said}
    response["content"]["application/json"]["examples"] = {status.value: {"summary": status.value, "value": value}}
    return response


def _response(description: str, schema: Json, *headers: str) -> Json:
    refs = {name: {"$ref": f"#/components/headers/{name}"} for name in (REQUEST_ID, *headers)}
    return {"description": description, "headers": refs, "content": {"application/json": {"schema": schema}}}


if __name__ == "__main__":
    sys.stdout.write(text())
