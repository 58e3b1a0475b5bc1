"""The one envelope of every answer, and the one table from domain errors to HTTP."""

import json
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from shared.contract import Message, Status
from shared.errors import ContractError, Unauthorized, Unavailable

RETRY_AFTER_S = 1

_HTTP_STATUS: Mapping[type[ContractError], int] = {Unauthorized: 401, Unavailable: 503}


def answer(status: Status, message: Message | Mapping[str, Any], http_status: int | None = None) -> web.Response:
    """The JSON object {"status": …, "message": …}; FAIL is 503 and all else 200 unless http_status says otherwise."""
    if http_status is None:
        http_status = _HTTP_STATUS[Unavailable] if status is Status.FAIL else 200
    headers = {"Retry-After": str(RETRY_AFTER_S)} if http_status == _HTTP_STATUS[Unavailable] else None
    text = json.dumps({"status": status.value, "message": message})
    return web.Response(text=text, status=http_status, content_type="application/json", headers=headers)


def error_answer(error: ContractError) -> web.Response:
    """The answer of a domain error."""
    return answer(error.status, error.message, _HTTP_STATUS.get(type(error)))
