"""The OpenAPI 3.1 document, made from what checks requests (gateway/calls/parameters.py) and from the contract's
tables.

docs/openapi.json is this document; a test keeps them equal, and `python -m gateway.openapi.document` prints it.
"""

import json
import sys
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from typing import Final

from gateway.access.authentication import UNAUTHORIZED, forbidden
from gateway.calls.parameters import (
    AddFaceParameters,
    Checked,
    DelFaceParameters,
    FaceCompareParameters,
    SearchFaceParameters,
    add_face_parameters,
)
from gateway.http.headers import API_KEY, QUALITY, REPLAYED, REQUEST_ID
from gateway.http.middleware import UNKNOWN_PATH, wrong_method
from gateway.monitoring.health import VERBOSE
from gateway.openapi.answers import answers, envelope, example, of, schemas
from gateway.openapi.requests import Json, bodies, body_example, image, schema
from shared.contract import MAX_ADDED, MESSAGES, STATUSES_OF, Call, Flaw, HttpStatus, Names, Status
from shared.control import Scope
from shared.idempotency import HEADER as IDEMPOTENCY_KEY
from shared.idempotency import KEY

_DESCRIPTION: Final = """\
Add faces, search for the same face among those added, delete faces, compare two. Every answer is a JSON object with \
`status` and `message`. Read `status` first: it is the contract, the HTTP code only echoes it. For keys that were made \
so, and where the operator sets it for all, the HTTP code is 200 whatever the status, and confidences are whole numbers.

Parameters that are not listed are ignored. Whatever the path, 400, 404, 405, 408 and 417 refuse what is no request to \
it: see `components/responses`."""

# By call: the name of its schemas, what it does, more of it, its parameters.
_CALLS: Final[Mapping[Call, tuple[str, str, str, type[Checked]]]] = {
    Call.ADD_FACE: (
        "AddFace",
        "Add the faces of one image",
        (
            "All faces get the `name` that is given, or else ID0, ID1 and so on. They are listed from left to right. "
            "`faces` says which are added: `all` of them, the `largest` alone, or `one`, which adds nobody where the "
            f"image shows several. An image with more than {MAX_ADDED} faces to add is INVALID_REQUEST."
        ),
        AddFaceParameters,
    ),
    Call.SEARCH_FACE: (
        "SearchFace",
        "Find the same face among those added",
        "Searches for the most prominent face of the image. Matches are listed from high to low confidence.",
        SearchFaceParameters,
    ),
    Call.DELETE_FACE: (
        "DelFace",
        "Delete one added face",
        "Of any number of concurrent deletes of one id exactly one is OK.",
        DelFaceParameters,
    ),
    Call.COMPARE_FACES: (
        "FaceCompare",
        "Tell whether two images show the same person",
        "Compares the most prominent face of each image. Nothing is added, searched or kept.",
        FaceCompareParameters,
    ),
}

_FACES, _COMPARISON, _SERVICE = "Faces", "Comparison", "Service"
_TAGS: Final = {
    _FACES: "Faces of a face database: add, find, delete.",
    _COMPARISON: "Two images, and no face database.",
    _SERVICE: "The service itself. Needs no key.",
}

# By HTTP code: the name of the response, what it means, its status.
_REFUSALS: Final = {
    400: ("BadRequest", "What was sent is no valid HTTP/1.1.", Status.INVALID_REQUEST),
    401: (
        "Unauthorized",
        (
            f"The header {API_KEY} is missing, or its key is unknown, revoked or expired. Nothing was done. Send a key "
            "that works; the operator makes them."
        ),
        Status.INVALID_REQUEST,
    ),
    403: (
        "Forbidden",
        (
            "The key is known and lacks the scope of this call: `add` for addface, `search` for searchface and "
            "facecompare, `delete` for delface. Nothing was done. Send a key that has it."
        ),
        Status.INVALID_REQUEST,
    ),
    404: ("NotFound", "There is no such path.", Status.INVALID_REQUEST),
    405: ("MethodNotAllowed", "The path takes another method, which the header Allow names.", Status.INVALID_REQUEST),
    408: ("RequestTimeout", "The headers took too long to arrive.", Status.INVALID_REQUEST),
    417: ("ExpectationFailed", "The header Expect is not 100-continue.", Status.INVALID_REQUEST),
    429: ("TooManyRequests", "The key has reached its own limit; nothing was done.", Status.FAIL),
    503: ("Unavailable", "The service could not do it now.", Status.FAIL),
}
_OF_A_CALL: Final = (401, 403, 429, 503)

# What is said there, of those of which it can be known.
_SAID: Final = {
    401: UNAUTHORIZED,
    403: forbidden(Scope.ADD),
    404: UNKNOWN_PATH,
    405: wrong_method("POST"),
    429: MESSAGES[Status.FAIL],
    503: MESSAGES[Status.FAIL],
}

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
}


def document(names: Names = "strict", http_status: HttpStatus = "mapped") -> Json:
    """The document of a service with these settings; of one as it comes, if they are left out."""
    models = {name: model for name, _, _, model in _CALLS.values()} | {"AddFace": add_face_parameters(names)}
    return {
        "openapi": "3.1.0",
        "info": {"title": "facesearch", "version": version("facesearch"), "description": _DESCRIPTION},
        "servers": [{"url": "/"}],
        "security": [{"ApiKey": []}],
        "tags": [{"name": name, "description": description} for name, description in _TAGS.items()],
        "paths": {f"/v1/{call}": {"post": _operation(call, models[_CALLS[call][0]], http_status)} for call in Call}
        | _others(),
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
                "Image": image(SearchFaceParameters),
                **{f"{name}Parameters": schema(model) for name, model in models.items()},
                **schemas(),
            },
            "examples": {
                name: body_example(_CALLS[call][1], models[name]) for call in Call for name in [_CALLS[call][0]]
            },
            "responses": {name: _refusal(code) for code, (name, _, _) in _REFUSALS.items()},
        },
    }


@cache
def text(names: Names = "strict", http_status: HttpStatus = "mapped") -> str:
    """The document as it is served and kept."""
    return json.dumps(document(names, http_status), indent=2, ensure_ascii=False) + "\n"


def _operation(call: Call, model: type[Checked], http_status: HttpStatus) -> Json:
    name, summary, description, _ = _CALLS[call]
    answered = answers(call, http_status)
    return {
        "operationId": call.value,
        "tags": [_COMPARISON if call is Call.COMPARE_FACES else _FACES],
        "summary": summary,
        "description": description,
        "parameters": [_ONCE],
        "requestBody": {"required": True, "content": bodies(name, model)},
        "responses": {"200": _response("What became of the request: see `status`.", answered, *_of_a_call(call))}
        | {str(code): {"$ref": f"#/components/responses/{_REFUSALS[code][0]}"} for code in _OF_A_CALL},
    }


def _response(description: str, content: Json, *headers: str) -> Json:
    refs = {name: {"$ref": f"#/components/headers/{name}"} for name in (REQUEST_ID, *headers)}
    return {"description": description, "headers": refs, "content": {"application/json": content}}


def _of_a_call(call: Call) -> tuple[str, ...]:
    """The headers that its answers may have."""
    return (REPLAYED, QUALITY) if call in STATUSES_OF[Status.FACE_DETECT_FAILED] else (REPLAYED,)


def _refusal(code: int) -> Json:
    _, description, status = _REFUSALS[code]
    headers = ("Retry-After",) if status is Status.FAIL else ("Allow",) if code == 405 else ()
    content: Json = {"schema": of(status)}
    if code in _SAID:
        content["examples"] = {status.value: example(status, _SAID[code])}
    return _response(description, content, *headers)


def _others() -> Json:
    """What needs no key."""
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
                "tags": [_SERVICE],
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
