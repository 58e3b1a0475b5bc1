"""The entry of each call in the call log: who asked for what, which ids were answered, and with which status."""

import asyncio
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from aiohttp import web
from aiohttp.typedefs import Handler
from yarl import URL

from gateway.app_keys import CALL_LOG
from gateway.call_log.log import CallLog
from gateway.calls.preferences import KNOWN
from gateway.http.answers import MESSAGE, STATUS, error_answer
from gateway.http.headers import REPLAYED
from gateway.http.middleware import IDENTIFIER
from gateway.http.routing import call_of
from gateway.webhooks.deliveries import Send
from gateway.webhooks.sending import Refused
from shared.contract import MAX_MATCHES, Status
from shared.errors import Unavailable
from shared.jobs import JOB_ID
from shared.parameters import CallParameters

GIVEN: Final = web.RequestKey("given", CallParameters)
"""The checked parameters of a request."""

FACEDB: Final = web.RequestKey("facedb", str)
"""The name of the facedb that a request is about, if there is one."""

MOST_IDS: Final = MAX_MATCHES
"""Persons, and faces, of one answer that an entry names: all that a search lists."""

WEBHOOK: Final = "webhook"
"""What stands for a delivery in place of a call."""

_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")

_JOB_ID: Final = re.compile(JOB_ID)

_OPAQUE: Final = ("metadata",)
"""Fields with what callers put there, which may be called like an id and be none."""


@web.middleware
async def logged(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Write the entry of each call before it is answered, or refuse the call where it could have none. Must be outside
    the middleware that turns errors into answers.
    """
    call = call_of(request)
    if call is None:
        return await handler(request)
    log = request.app[CALL_LOG]
    if log.is_full:
        return error_answer(Unavailable("the call log cannot be written"))
    try:
        response = await handler(request)
    except asyncio.CancelledError:  # the gateway stops, and what was asked for may have been done
        _add(request, call.name, {})
        raise
    status = response.get(STATUS, Status.FAIL)
    if KNOWN in request:
        answered = {"status": status, **ids_in(response.get(MESSAGE))}
        _add(request, call.name, answered | ({"replayed": True} if REPLAYED in response.headers else {}))
    else:
        log.count_refused(call.name, status)
    return response


def deliveries_logged(log: CallLog, send: Send) -> Send:
    """Return `send` with an entry for each delivery of a webhook, which answers a call as an answer does. Where there
    can be none, the delivery is tried again later.
    """

    async def deliver(url: URL, body: bytes, headers: Mapping[str, str]) -> None:
        if log.is_full:
            raise Refused("the call log cannot be written")
        await send(url, body, headers)
        sent = json.loads(body)
        log.add({"call": WEBHOOK, "host": url.host, "status": sent["status"], **ids_in(sent)})

    return deliver


def _add(request: web.Request, call: str, answered: dict[str, Any]) -> None:
    key = request.get(KNOWN)
    who = {} if key is None else {"tenant": key.tenant, "key": key.id}
    about = {"request_id": request[IDENTIFIER], "call": call, **who}
    request.app[CALL_LOG].add(about | asked_for(request) | answered)


def asked_for(request: web.Request) -> dict[str, str]:
    """Return the facedb and the ids that a request is about."""
    given: dict[str, Any] = {**request.match_info}
    if GIVEN in request:
        parameters = request[GIVEN]
        given |= {name: getattr(parameters, name, None) for name in ("facedb", "person_id", "face_id")}
    found = {name: given.get(name) for name in ("facedb", "person_id", "face_id", "job_id")}
    found["facedb"] = request.get(FACEDB, found["facedb"])
    return {name: value for name, value in found.items() if value is not None and (name == "facedb" or is_id(value))}


def ids_in(message: object) -> dict[str, Any]:
    """Return the ids in a message: person_ids and face_ids, the first MOST_IDS of each, in how many persons there are
    more, and job_id.
    """
    persons: dict[str, None] = {}
    faces: dict[str, None] = {}
    found: dict[str, Any] = {}
    for name, value in _named(message):
        if name == "person_id":
            persons[value] = None
        elif name == "face_id":
            faces[value] = None
        else:
            found["job_id"] = value
    if persons:
        found["person_ids"] = [*persons][:MOST_IDS]
    if faces:
        found["face_ids"] = [*faces][:MOST_IDS]
    if len(persons) > MOST_IDS:
        found["more"] = len(persons) - MOST_IDS
    return found


def is_id(text: str) -> bool:
    """Return whether a text is an id that the service makes: anything else may be a name."""
    return _UUID.fullmatch(text) is not None or _JOB_ID.fullmatch(text) is not None


def _named(message: object) -> Iterator[tuple[str, str]]:
    """Yield the ids in a message with the names of their fields."""
    if isinstance(message, dict):
        for name, value in message.items():
            if name in ("person_id", "face_id", "job_id"):
                if isinstance(value, str) and is_id(value):
                    yield name, value
            elif name not in _OPAQUE:
                yield from _named(value)
    elif isinstance(message, list):
        for each in message:
            yield from _named(each)
