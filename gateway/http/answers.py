"""The JSON envelope of every answer, and the HTTP code of every error."""

import json
from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web

from gateway.http.headers import REPLAYED
from shared.contract import Message, Status
from shared.errors import ContractError, Forbidden, TooFast, TooManyRequests, Unauthorized, Unavailable

RETRY_AFTER_S = 1

_HTTP_STATUS: Mapping[type[ContractError], int] = {
    Unauthorized: 401,
    Forbidden: 403,
    TooFast: 429,
    TooManyRequests: 429,
    Unavailable: 503,
}

STATUS: Final = web.ResponseKey("contract_status", Status)
"""The contract status of a response, for metering."""

MESSAGE: Final = web.ResponseKey("message", object)
"""The message of a response before it became text, for the call log."""

UNMETERED: Final = web.ResponseKey("unmetered", bool)
"""Set on a response that is not counted for bills."""

REJECTED: Final = web.ResponseKey("rejected", str)
"""Why a response refuses its request, if it does, for metrics; see shared.errors.ContractError."""


def answer(
    status: Status,
    message: Message | Mapping[str, Any],
    http_status: int | None = None,
    retry_after_s: int = RETRY_AFTER_S,
) -> web.Response:
    """Return the response {"status": …, "message": …}. http_status: by default 503 for FAIL and 200 for all else.
    retry_after_s: whole seconds, sent with FAIL only.
    """
    if http_status is None:
        http_status = _HTTP_STATUS[Unavailable] if status is Status.FAIL else 200
    headers = {"Retry-After": str(retry_after_s)} if status is Status.FAIL else None
    text = json.dumps({"status": status.value, "message": message})
    response = web.Response(text=text, status=http_status, content_type="application/json", headers=headers)
    response[STATUS] = status
    response[MESSAGE] = message
    return response


def of_job(job_id: str, more: Mapping[str, str], headers: Mapping[str, str]) -> web.Response:
    """Return the response 202 about an asynchronous job that has no outcome. more: what it says beside the id."""
    response = answer(Status.OK, {"job_id": job_id, **more}, 202)
    response.headers.update(headers)
    return response


def replayed(status: Status, message: Message) -> web.Response:
    """Return a response that repeats the answer of an earlier request."""
    response = answer(status, message)
    response.headers[REPLAYED] = "true"
    return response


def error_answer(error: ContractError) -> web.Response:
    """Return the response to a request that ended with this error."""
    retry_after_s = error.retry_after_s if isinstance(error, Unavailable) else RETRY_AFTER_S
    response = answer(error.status, error.message, _HTTP_STATUS.get(type(error)), retry_after_s)
    if error.rejected is not None:
        response[REJECTED] = error.rejected
    return response
