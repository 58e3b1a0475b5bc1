"""How a caller wants its answers written: which HTTP code they have and whether confidences are whole numbers.

A key says it, or else the settings. Workers know nothing of it and no outcome is kept in it, so an outcome that is
given again is written as the key has it now. Metering and metrics count the contract's status.
"""

import math
from typing import Any, Final, cast

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from gateway.http.routing import call_of
from shared.contract import Confidences, HttpStatus, Message
from shared.control import Key

KNOWN: Final = web.RequestKey("known", Key)
"""The key that came with the request, whether or not it may make the call."""


def http_status(default: HttpStatus) -> Middleware:
    """The middleware that gives answers of the four calls HTTP 200 for those who want it. default: for keys that do not
    say, and for what is answered before the key is known. Goes around whatever turns errors into answers.

    Other paths and methods keep their codes: 404 and 405 tell whoever writes a client that it calls nothing there is.
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


def written(message: Message, confidence: Confidences) -> Message:
    """The message of an outcome with its confidences as they are wanted.

    Whole ones are rounded down, and matches that are the same then are ordered by person_id. Borders are whole numbers,
    80 and 95, so a number and its whole part lie on the same side of each: `result` stays true of `similarity`.
    """
    if confidence == "decimals" or isinstance(message, str):
        return message
    if isinstance(message, dict):
        return cast("Message", _whole(message, "similarity"))
    if not all("confidence" in entry for entry in message):
        return message
    matches: list[dict[str, Any]] = [_whole(entry, "confidence") for entry in message]
    return cast("Message", sorted(matches, key=lambda entry: (-entry["confidence"], entry["person_id"])))


def _whole(entry: Any, name: str) -> dict[str, Any]:
    return {**entry, name: math.floor(entry[name])}
