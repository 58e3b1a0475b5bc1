"""The OpenAPI 3.1 document, made from the table of calls (shared/calls.py) and the contract's statuses.

docs/openapi.json is this document; a test keeps them equal, and `python -m gateway.openapi.document` prints it.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import version
from typing import Final

from gateway.access.authentication import UNAUTHORIZED, forbidden
from gateway.http.headers import API_KEY, QUALITY, REPLAYED, REQUEST_ID
from gateway.http.middleware import unknown_path, wrong_method
from gateway.monitoring.health import VERBOSE
from gateway.openapi import asynchronous
from gateway.openapi.answers import answers, envelope, example, of, schemas
from gateway.openapi.requests import Json, bodies, body_example, image, parameters, schema
from shared.calls import CALLS, Call, Tag
from shared.contract import MESSAGES, Flaw, HttpStatus, Names, Status
from shared.idempotency import HEADER as IDEMPOTENCY_KEY
from shared.idempotency import KEY
from shared.parameters import CallParameters

_DESCRIPTION: Final = """\
Add faces, search for the same face among those added, delete faces, compare two. Every answer is a JSON object with \
`status` and `message`. Read `status` first: it is the contract, the HTTP code only echoes it. For keys that were made \
so, and where the operator sets it for all, the HTTP code is 200 whatever the status, and confidences are whole numbers.

Parameters that are not listed are ignored. Whatever the path, 400, 404, 405, 408 and 417 refuse what is no request to \
it: see `components/responses`."""

_SERVICE: Final = Tag("Service", "The service itself. Needs no key.")

_NAMES: Final = {
    202: asynchronous.ACCEPTED,
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    408: "RequestTimeout",
    417: "ExpectationFailed",
    429: "TooManyRequests",
    503: "Unavailable",
}
"""The names of the responses by HTTP code, of all codes but 200."""

_OF_A_CALL: Final = (401, 403, 429, 503)
"""The codes, besides 200, of an answer to a call."""

_ONCE: Final[Json] = {
    "name": IDEMPOTENCY_KEY,
    "in": "header",
    "description": "Names the request, so that it can be sent again when its answer was lost or FAIL: it happens once, "
    "and its first outcome is given again for a day, or until the tenant has sent very many others. A UUID, say. With "
    "other parameters it is INVALID_REQUEST.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": f"^{KEY.pattern}$"},
}

_HEADERS: Final[Mapping[str, tuple[str, Json]]] = {
    REQUEST_ID: ("Names this request.", {"type": "string"}),
    "Retry-After": ("Seconds to wait.", {"type": "integer", "minimum": 1}),
    REPLAYED: ("Always true: this answer was given before, under the same Idempotency-Key.", {"const": "true"}),
    QUALITY: (
        (
            "What is wrong with the face, where FACE_DETECT_FAILED means that it is not shown well enough, if it is "
            "told. several: with `faces=one` there is more than one face, which is always told."
        ),
        {"enum": [flaw.value for flaw in Flaw]},
    ),
    "Allow": ("The methods that the path takes.", {"type": "string"}),
    **asynchronous.HEADERS,
    **asynchronous.OUTCOME_HEADERS,
}


def document(names: Names = "strict", http_status: HttpStatus = "mapped", calls: tuple[Call, ...] = CALLS) -> Json:
    """Return the document of a service with these settings, by default those of a new one, and these calls."""
    models = {call: call.parameters_for(names) for call in calls}
    tags = dict.fromkeys((*(call.tag for call in calls), asynchronous.JOBS, _SERVICE))
    return {
        "openapi": "3.1.0",
        "info": {"title": "facesearch", "version": version("facesearch"), "description": _DESCRIPTION},
        "servers": [{"url": "/"}],
        "security": [{"ApiKey": []}],
        "tags": [tag._asdict() for tag in tags],
        "paths": _paths(models, http_status) | _jobs(calls) | _others(),
        "components": {
            "securitySchemes": {
                "ApiKey": {
                    "type": "apiKey",
                    "in": "header",
                    "name": API_KEY,
                    "description": "A key of a tenant, which the operator makes: `facesearch keys create`.",
                }
            },
            "headers": {
                name: {"description": description, "required": name not in (REPLAYED, QUALITY), "schema": type_}
                for name, (description, type_) in _HEADERS.items()
            },
            "schemas": {
                "Image": image(next(model for model in models.values() if model.image_parameters)),
                **{
                    f"{call.title}Parameters": schema(model, call.path_parameters)
                    for call, model in models.items()
                    if call.has_body
                },
                **schemas(calls),
                **asynchronous.schemas(),
            },
            "examples": {call.title: body_example(call) for call in calls if call.has_body},
            "responses": _refusals(calls),
        },
    }


@cache
def text(names: Names = "strict", http_status: HttpStatus = "mapped", calls: tuple[Call, ...] = CALLS) -> str:
    """Return the document as it is served and kept."""
    return json.dumps(document(names, http_status, calls), indent=2, ensure_ascii=False) + "\n"


def _paths(models: Mapping[Call, type[CallParameters]], http_status: HttpStatus) -> Json:
    """Return the paths of the calls, each with the operations of its methods."""
    paths: Json = {}
    for call, model in models.items():
        paths.setdefault(call.path, {})[call.method.lower()] = _operation(call, model, http_status)
    return paths


def _operation(call: Call, model: type[CallParameters], http_status: HttpStatus) -> Json:
    headers = (*([] if call.is_reading else [REPLAYED]), *([QUALITY] if _shows_faces(call) else []))
    responses = {"200": _response("What became of the request: see `status`.", answers(call, http_status), *headers)}
    if call.may_be_asynchronous:
        responses["202"] = {"$ref": f"#/components/responses/{asynchronous.ACCEPTED}"}
    preference = [asynchronous.PREFERENCE, asynchronous.WEBHOOK] if call.may_be_asynchronous else []
    body = {"requestBody": {"required": True, "content": bodies(call, model)}} if call.has_body else {}
    return {
        "operationId": call.name,
        "tags": [call.tag.name],
        "summary": call.summary,
        "description": call.description,
        "parameters": [*parameters(call, model), *([] if call.is_reading else [_ONCE]), *preference],
        **body,
        "responses": responses | _references(),
    }


def _references() -> Json:
    """Return the responses of a call by code, besides those of its own."""
    return {str(code): {"$ref": f"#/components/responses/{_NAMES[code]}"} for code in _OF_A_CALL}


def _jobs(calls: Sequence[Call]) -> Json:
    """Return the path of asynchronous jobs."""
    return asynchronous.path(calls, _references(), {REQUEST_ID: {"$ref": f"#/components/headers/{REQUEST_ID}"}})


def _shows_faces(call: Call) -> bool:
    return Status.FACE_DETECT_FAILED in call.statuses


def _response(description: str, content: Json, *headers: str) -> Json:
    refs = {name: {"$ref": f"#/components/headers/{name}"} for name in (REQUEST_ID, *headers)}
    return {"description": description, "headers": refs, "content": {"application/json": content}}


def _refusals(calls: Sequence[Call]) -> Json:
    """Return the responses of all codes but 200 by name."""

    def refusal(code: int, description: str, status: Status, message: str | None, *headers: str) -> tuple[str, Json]:
        content: Json = {"schema": of(status)}
        if message is not None:
            content["examples"] = {status.value: example(status, message)}
        return _NAMES[code], _response(description, content, *headers)

    invalid, fail = Status.INVALID_REQUEST, Status.FAIL
    description, content = asynchronous.accepted()
    accepted = _response(description, {}, *asynchronous.HEADERS) | {"content": content}
    return {_NAMES[202]: accepted} | dict(
        (
            refusal(400, "What was sent is no valid HTTP/1.1.", invalid, None),
            refusal(
                401,
                f"The header {API_KEY} is missing, or its key is unknown, revoked or expired. Nothing was done. Send a "
                "key that works; the operator makes them.",
                invalid,
                UNAUTHORIZED,
            ),
            refusal(
                403,
                f"The key is known and lacks the scope of this call: {_scopes(calls)}. Nothing was done. Send a key "
                "that has it.",
                invalid,
                forbidden(calls[0].scope),
            ),
            refusal(404, "There is no such path.", invalid, unknown_path(calls)),
            refusal(
                405,
                "The path takes another method, which the header Allow names.",
                invalid,
                wrong_method("POST"),
                "Allow",
            ),
            refusal(408, "The headers took too long to arrive.", invalid, None),
            refusal(417, "The header Expect is not 100-continue.", invalid, None),
            refusal(429, "The key has reached its own limit; nothing was done.", fail, MESSAGES[fail], "Retry-After"),
            refusal(503, "The service could not do it now.", fail, MESSAGES[fail], "Retry-After"),
        )
    )


def _scopes(calls: Sequence[Call]) -> str:
    """Return which scope each call needs, as in: `add` for addface, `delete` for delface."""
    names: dict[str, list[str]] = {}
    for call in calls:
        names.setdefault(call.scope, []).append(call.name)
    return ", ".join(f"`{scope}` for {_joined(its_calls)}" for scope, its_calls in names.items())


def _joined(names: Sequence[str]) -> str:
    """Return the names as in: a, b and c."""
    return " and ".join(", ".join(names).rsplit(", ", 1))


def _others() -> Json:
    """Return the paths that need no key."""
    words = {"type": "object", "additionalProperties": {"type": "string"}, "required": ["gateway"]}
    verbose: Json = {
        "name": VERBOSE,
        "in": "query",
        "description": "Ask for the whole service, part by part: not this gateway alone. Any value but 0.",
        "schema": {"type": "string"},
    }
    alive = _response("The process lives.", {"schema": envelope(Status.OK, {"const": "alive"})})
    ready = _response("It answers; with verbose: so does all behind it.", {"schema": envelope(Status.OK, words)})
    missing = "It starts or stops; with verbose: what is missing."
    unready = _response(missing, {"schema": envelope(Status.FAIL, words)}, "Retry-After")
    itself = _response("This document.", {"schema": {"type": "object"}})
    return {
        path: {
            "get": {
                "operationId": name,
                "tags": [_SERVICE.name],
                "summary": summary,
                "security": [],
                "responses": responses,
            }
            | more
        }
        for path, name, summary, responses, more in (
            ("/healthz", "health", "Whether the process lives", {"200": alive}, {}),
            (
                "/readyz",
                "readiness",
                "Whether this gateway answers",
                {"200": ready, "503": unready},
                {"parameters": [verbose]},
            ),
            ("/openapi.json", "openapi", "This document", {"200": itself}, {}),
        )
    }


if __name__ == "__main__":
    sys.stdout.write(text())
