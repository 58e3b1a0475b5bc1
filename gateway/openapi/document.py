"""The OpenAPI 3.1 document, made from what checks requests (gateway/parameters.py) and from the contract's tables.

docs/openapi.json is this document; a test keeps them equal, and `python -m gateway.openapi.document` prints it.
"""

import json
import sys
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from typing import Final

from aiohttp import web

from gateway.answers import QUALITY, REPEATED
from gateway.auth import HEADER
from gateway.health import VERBOSE
from gateway.middleware import REQUEST_ID
from gateway.openapi.answers import answers, envelope, of, schemas
from gateway.openapi.requests import Json, bodies, schema
from gateway.parameters import (
    AddFaceParameters,
    Checked,
    DelFaceParameters,
    FaceCompareParameters,
    SearchFaceParameters,
)
from shared.contract import STATUSES_OF, Call, Flaw, Status
from shared.once import HEADER as IDEMPOTENCY_KEY
from shared.once import KEY

_DESCRIPTION: Final = """\
Add faces, search for the same face among those added, delete faces, compare two. Every answer is a JSON object with \
`status` and `message`. Read `status` first: it is the contract, the HTTP code only echoes it.

Parameters that are not listed are ignored. Whatever the path, 400, 404, 405, 408 and 417 refuse what is no request to \
it: see `components/responses`."""

_CALLS: Final[Mapping[Call, tuple[str, str, type[Checked]]]] = {
    Call.ADD_FACE: (
        "Add every face of one image",
        "All faces get the `name` that is given, or else ID0, ID1 and so on. They are listed from left to right.",
        AddFaceParameters,
    ),
    Call.SEARCH_FACE: (
        "Find the same face among those added",
        "Searches for the most prominent face of the image. Matches are listed from high to low confidence.",
        SearchFaceParameters,
    ),
    Call.DELETE_FACE: (
        "Delete one added face",
        "Of any number of concurrent deletes of one id exactly one is OK.",
        DelFaceParameters,
    ),
    Call.COMPARE_FACES: (
        "Tell whether two images show the same person",
        "Compares the most prominent face of each image. Nothing is added, searched or kept.",
        FaceCompareParameters,
    ),
}

# By HTTP code: the name of the response, what it means, its status.
_REFUSALS: Final = {
    400: ("BadRequest", "What was sent is no valid HTTP/1.1.", Status.INVALID_REQUEST),
    401: ("Unauthorized", f"{HEADER} is missing, or its key is unknown or has expired.", Status.INVALID_REQUEST),
    403: ("Forbidden", "The key may not make this call.", Status.INVALID_REQUEST),
    404: ("NotFound", "There is no such path.", Status.INVALID_REQUEST),
    405: ("MethodNotAllowed", "The path takes another method, which the header Allow names.", Status.INVALID_REQUEST),
    408: ("RequestTimeout", "The headers took too long to arrive.", Status.INVALID_REQUEST),
    417: ("ExpectationFailed", "The header Expect is not 100-continue.", Status.INVALID_REQUEST),
    429: ("TooManyRequests", "The key has reached its own limit; nothing was done.", Status.FAIL),
    503: ("Unavailable", "The service could not do it now.", Status.FAIL),
}
_OF_A_CALL: Final = (401, 403, 429, 503)

_ONCE: Final[Json] = {
    "name": IDEMPOTENCY_KEY,
    "in": "header",
    "description": "Names the request, so that it can be sent again when its answer was lost or FAIL: it happens once, "
    "and its first outcome is given again for a day. A UUID, say. With other parameters it is INVALID_REQUEST.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": f"^{KEY.pattern}$"},
}

_HEADERS: Final[Mapping[str, tuple[str, Json]]] = {
    REQUEST_ID: ("Names this request.", {"type": "string"}),
    "Retry-After": ("Seconds to wait.", {"type": "integer", "minimum": 1}),
    REPEATED: ("Always true: this answer was given before, under the same Idempotency-Key.", {"const": "true"}),
    QUALITY: (
        "What is wrong with the face, where FACE_DETECT_FAILED means that it is not shown well enough, if it is told.",
        {"enum": [flaw.value for flaw in Flaw]},
    ),
    "Allow": ("The methods that the path takes.", {"type": "string"}),
}


async def openapi(_request: web.Request) -> web.Response:
    """The document; anybody may read it."""
    return web.Response(text=_text(), content_type="application/json")


def document() -> Json:
    return {
        "openapi": "3.1.0",
        "info": {"title": "facesearch", "version": version("facesearch"), "description": _DESCRIPTION},
        "servers": [{"url": "/"}],
        "security": [{"ApiKey": []}],
        "paths": {f"/v1/{call}": {"post": _operation(call)} for call in Call} | _others(),
        "components": {
            "securitySchemes": {"ApiKey": {"type": "apiKey", "in": "header", "name": HEADER}},
            "headers": {
                name: {"description": description, "required": name not in (REPEATED, QUALITY), "schema": type_}
                for name, (description, type_) in _HEADERS.items()
            },
            "schemas": {model.__name__: schema(model) for _, _, model in _CALLS.values()} | schemas(),
            "responses": {name: _refusal(code) for code, (name, _, _) in _REFUSALS.items()},
        },
    }


@cache
def _text() -> str:
    return json.dumps(document(), indent=2, ensure_ascii=False) + "\n"


def _operation(call: Call) -> Json:
    summary, description, model = _CALLS[call]
    return {
        "operationId": call.value,
        "summary": summary,
        "description": description,
        "parameters": [_ONCE],
        "requestBody": {"required": True, "content": bodies(model)},
        "responses": {"200": _response("What became of the request: see `status`.", answers(call), *_of_a_call(call))}
        | {str(code): {"$ref": f"#/components/responses/{_REFUSALS[code][0]}"} for code in _OF_A_CALL},
    }


def _response(description: str, content: Json, *headers: str) -> Json:
    refs = {name: {"$ref": f"#/components/headers/{name}"} for name in (REQUEST_ID, *headers)}
    return {"description": description, "headers": refs, "content": {"application/json": content}}


def _of_a_call(call: Call) -> tuple[str, ...]:
    """The headers that its answers may have."""
    return (REPEATED, QUALITY) if call in STATUSES_OF[Status.FACE_DETECT_FAILED] else (REPEATED,)


def _refusal(code: int) -> Json:
    _, description, status = _REFUSALS[code]
    headers = ("Retry-After",) if status is Status.FAIL else ("Allow",) if code == 405 else ()
    return _response(description, {"schema": of(status)}, *headers)


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
        path: {"get": {"operationId": name, "summary": summary, "security": [], "responses": responses} | more}
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
    sys.stdout.write(_text())
