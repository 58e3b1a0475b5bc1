"""Middlewares around every request: one gives it an id, one turns every error into an answer of the contract."""

from collections.abc import Sequence
from typing import Final

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from gateway.http.answers import answer, error_answer
from gateway.http.headers import REQUEST_ID
from gateway.http.routing import calls_of
from shared.calls import Call
from shared.contract import MESSAGES, Status
from shared.errors import ContractError, Unavailable
from shared.jobs import new_request_id

log = structlog.stdlib.get_logger(__name__)

IDENTIFIER: Final = web.RequestKey("identifier", str)
"""The id of a request, which is part of its job's id and of every log line about it."""


def unknown_path(calls: Sequence[Call]) -> str:
    """Return the message for a path that is none of these calls: their paths, without those below another."""
    known = dict.fromkeys(call.path for call in calls if not call.path_parameters)
    paths = " or ".join(", ".join(known).rsplit(", ", 1))
    return f"unknown path, use {paths}"


def wrong_method(allowed: str) -> str:
    """Return the message for a method that a path does not take. allowed: the methods that it takes."""
    return f"method not allowed here, use {allowed}"


def logged_path(request: web.Request) -> str:
    """Return the path of a request for the log: that of its route where it names a person."""
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None and "person_id" in request.match_info else request.path


@web.middleware
async def request_id(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Make an id, bind it to the log and send it in X-Request-Id, so that callers can quote it to operators."""
    identifier = request[IDENTIFIER] = new_request_id()
    with structlog.contextvars.bound_contextvars(request_id=identifier):
        response = await handler(request)
    response.headers[REQUEST_ID] = identifier
    return response


@web.middleware
async def errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every error into an answer of the contract. The text of an unexpected exception never reaches a caller."""
    try:
        return await handler(request)
    except ContractError as error:
        # Refusals of an input are metrics alone: a line for each would let a caller flood the log.
        if isinstance(error, Unavailable) and error.rejected is None:
            log.warning("request_failed", path=logged_path(request), reason=error.reason)
        return error_answer(error)
    except web.HTTPMethodNotAllowed as error:
        allowed = ", ".join(sorted(error.allowed_methods))
        response = answer(Status.INVALID_REQUEST, wrong_method(allowed), 405)
        response.headers["Allow"] = allowed
        return response
    except web.HTTPNotFound:
        return answer(Status.INVALID_REQUEST, unknown_path(calls_of(request.app)), 404)
    except web.HTTPException as error:
        return answer(Status.INVALID_REQUEST, error.reason, error.status)
    except Exception:
        log.exception("request_crashed", path=logged_path(request))
        return answer(Status.FAIL, MESSAGES[Status.FAIL])
