"""Web pages of other origins as callers (CORS, in the Fetch standard). Off unless the settings list origins.

Written here: PyPI's aiohttp-cors (0.8.1, of March 2025) adds its headers only to routes that are given to it one by
one, so to no 404 or 405, and refuses a preflight with plain text where every answer of ours is the contract's JSON.
"""

from collections.abc import Set as AbstractSet
from typing import Final

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from gateway.http.headers import API_KEY, QUALITY, REPLAYED, REQUEST_ID
from shared.idempotency import HEADER as IDEMPOTENCY_KEY
from shared.origins import ANY

REQUEST_HEADERS: Final = f"{API_KEY}, {hdrs.CONTENT_TYPE}, {IDEMPOTENCY_KEY}, traceparent, tracestate"
"""What a page may send: all that the gateway reads and that browsers do not let through anyway."""

ANSWER_HEADERS: Final = f"{REQUEST_ID}, {hdrs.RETRY_AFTER}, {REPLAYED}, {QUALITY}"
"""What a page may read, likewise."""

MAX_AGE_S: Final = 7200
"""How long a browser may remember the answer of a preflight, in seconds. Two hours: the longest that Chromium takes."""


def cors(origins: AbstractSet[str]) -> Middleware:
    """The middleware that lets pages of these origins call, as shared/origins.py gives them, and answers the question
    that their browsers ask before. Others are answered as if it were not there; their browsers then show them nothing.

    A preflight is no call: it needs no key and is neither metered nor measured. Credentials in the sense of browsers,
    cookies for one, are never allowed: there are none, and a page needs an API key like any caller.
    """

    @web.middleware
    async def share(request: web.Request, handler: Handler) -> web.StreamResponse:
        origin = request.headers.get(hdrs.ORIGIN)
        allowed = ANY if ANY in origins else origin if origin in origins else None
        response: web.StreamResponse
        if origin is not None and allowed is not None and _is_preflight(request):
            response = _preflight(request)
        else:
            response = await handler(request)
        if ANY not in origins:
            # For caches on the way: what the answer is like depends on who asks.
            response.headers.add(hdrs.VARY, hdrs.ORIGIN)
        if origin is not None and allowed is not None:
            response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = allowed
            response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = ANSWER_HEADERS
        return response

    return share


def _is_preflight(request: web.Request) -> bool:
    """Whether a browser asks if a page may call a path that there is."""
    return (
        request.method == hdrs.METH_OPTIONS
        and hdrs.ACCESS_CONTROL_REQUEST_METHOD in request.headers
        and isinstance(request.match_info.http_exception, web.HTTPMethodNotAllowed)
    )


def _preflight(request: web.Request) -> web.Response:
    refusal = request.match_info.http_exception
    methods = sorted(refusal.allowed_methods) if isinstance(refusal, web.HTTPMethodNotAllowed) else []
    return web.Response(
        status=204,
        headers={
            hdrs.ACCESS_CONTROL_ALLOW_METHODS: ", ".join(methods),
            hdrs.ACCESS_CONTROL_ALLOW_HEADERS: REQUEST_HEADERS,
            hdrs.ACCESS_CONTROL_MAX_AGE: str(MAX_AGE_S),
        },
    )
