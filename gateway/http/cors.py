"""CORS (Fetch standard): web pages of other origins as callers. Off unless the settings list origins.

aiohttp-cors (0.8.1) is not used: it adds its headers only to routes that are registered with it one by one, so to no
404 or 405, and refuses a preflight in plain text where every answer of this service is JSON.
"""

from collections.abc import Set as AbstractSet
from typing import Final

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from gateway.http.headers import API_KEY, JOB_ID, PREFER, PREFERENCE_APPLIED, QUALITY, REPLAYED, REQUEST_ID, WEBHOOK_URL
from shared.idempotency import HEADER as IDEMPOTENCY_KEY
from shared.origins import ANY

REQUEST_HEADERS: Final = (
    f"{API_KEY}, {hdrs.CONTENT_TYPE}, {IDEMPOTENCY_KEY}, {PREFER}, {WEBHOOK_URL}, traceparent, tracestate"
)
"""Headers that a page may send: those that the gateway reads and that browsers do not allow by default."""

ANSWER_HEADERS: Final = (
    f"{REQUEST_ID}, {hdrs.RETRY_AFTER}, {REPLAYED}, {QUALITY}, {hdrs.LOCATION}, {PREFERENCE_APPLIED}, {JOB_ID}"
)
"""Headers that a page may read, beside those that browsers allow by default."""

MAX_AGE_S: Final = 7200
"""Seconds for which a browser may cache a preflight. Two hours: the maximum in Chromium."""


def cors(origins: AbstractSet[str]) -> Middleware:
    """Return a middleware that lets pages of these origins call and answers their preflights. origins: as parsed by
    shared/origins.py. Pages of other origins are answered without CORS headers, so their browsers show them nothing.

    A preflight needs no key and is neither metered nor measured. Credentials in the sense of browsers, such as cookies,
    are never allowed: there are none, and a page needs an API key like any caller.
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
            # For caches: the answer depends on the origin.
            response.headers.add(hdrs.VARY, hdrs.ORIGIN)
        if origin is not None and allowed is not None:
            response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = allowed
            response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = ANSWER_HEADERS
        return response

    return share


def _is_preflight(request: web.Request) -> bool:
    """Whether the request is a preflight for a path that exists."""
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
