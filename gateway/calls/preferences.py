"""A caller's preferences: the HTTP code of its answers, whether confidences are whole numbers, whether it waits.

The first two belong to the key, with defaults in the settings; the last to the request. Outcomes of workers and
idempotency records do not depend on them, so a replayed answer has the key's present form. Metering and metrics count
the contract's status.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, Final, cast

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from gateway.http.answers import answer
from gateway.http.headers import QUALITY
from gateway.http.routing import call_of
from shared.contract import Confidences, Flaw, HttpStatus, Message, Status
from shared.control import Key
from shared.jobs import Outcome
from shared.settings import Settings

KNOWN: Final = web.RequestKey("known", Key)
"""The key that came with the request, whether or not it may make the call."""


def http_status(default: HttpStatus) -> Middleware:
    """Return the middleware that answers calls with HTTP 200 where the key asks for it. default: the preference of keys
    without one, and of requests that are answered before their key is known. Must be outside the middleware that turns
    errors into answers.

    Other paths and methods keep their codes, so that the author of a client sees the 404 or 405.
    """

    @web.middleware
    async def write(request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await handler(request)
        if call_of(request) is not None:
            key = request.get(KNOWN)
            if (default if key is None else key.http_status or default) == "always-200":
                response.set_status(200)
        return response

    return write


RESPOND_ASYNC: Final = "respond-async"


def prefers_async(headers: Sequence[str]) -> bool:
    """Return whether a request need not be waited for. headers: its headers Prefer (RFC 7240), of which all other
    preferences are ignored.
    """
    stated = (preference for header in headers for preference in header.split(","))
    return any(preference.partition(";")[0].strip().lower() == RESPOND_ASYNC for preference in stated)


Make = Callable[[Status, Message], web.Response]


def outcome_response(outcome: Outcome, key: Key, settings: Settings, make: Make = answer) -> web.Response:
    """Return the response with an outcome in the form that the key asks for. make: makes it."""
    response = make(outcome.status, written(outcome.message, key.confidence or settings.confidence))
    # Without faces=one, which goes beyond the contract, no request is answered with SEVERAL.
    if outcome.reason is Flaw.SEVERAL or (outcome.reason is not None and settings.quality_header):
        response.headers[QUALITY] = outcome.reason
    return response


def written(message: Message, confidence: Confidences) -> Message:
    """Return the message of an outcome with its confidences in that form.

    Whole ones are rounded down, and matches with the same whole confidence are ordered by person_id. The borders, 80
    and 95, are whole numbers, so rounding never crosses one: `result` stays true of `similarity`.
    """
    if confidence == "decimals" or isinstance(message, str):
        return message
    if isinstance(message, dict):
        return cast("Message", _whole(message, "similarity")) if "similarity" in message else message
    entries: list[dict[str, Any]] = [dict(entry) for entry in message]
    if all("matches" in entry for entry in entries):
        return cast("Message", [{**entry, "matches": _whole_matches(entry["matches"])} for entry in entries])
    if any("existing" in entry for entry in entries):
        return cast("Message", [_whole(entry, "confidence") if "existing" in entry else entry for entry in entries])
    return cast("Message", _whole_matches(entries)) if all("confidence" in entry for entry in entries) else message


def _whole_matches(matches: list[dict[str, Any]]) -> list[dict[str, Any]]:
    whole = [_whole(entry, "confidence") for entry in matches]
    for entry in whole:
        if "face_confidences" in entry:
            faces = [_whole(face, "confidence") for face in entry["face_confidences"]]
            entry["face_confidences"] = sorted(faces, key=lambda face: (-face["confidence"], face["face_id"]))
    return sorted(whole, key=lambda entry: (-entry["confidence"], entry["person_id"]))


def _whole(entry: Any, name: str) -> dict[str, Any]:
    return {**entry, name: math.floor(entry[name])}
