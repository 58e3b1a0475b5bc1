"""Measuring: every call's answer and duration, for Prometheus and traces."""

from time import perf_counter

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from gateway.app_keys import METRICS
from gateway.http.answers import REJECTED, STATUS
from gateway.http.routing import call_of

log = structlog.stdlib.get_logger(__name__)


@web.middleware
async def measured(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Measure each call. Must be outside the middleware that turns errors into answers."""
    call = call_of(request)
    if call is None:
        return await handler(request)
    metrics = request.app[METRICS]
    start = perf_counter()
    with metrics.in_flight(), metrics.tracer.resumed(request.headers, call.name):
        response = await handler(request)
    status, seconds = response.get(STATUS), perf_counter() - start
    metrics.answered(call, status, response.get(REJECTED), seconds)
    log.debug("request_answered", call=call.name, status=status, seconds=round(seconds, 4))
    return response
