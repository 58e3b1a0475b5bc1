"""`GET /healthz` and `GET /readyz`, for balancers, orchestrators and people."""

from aiohttp import web

from gateway.app_keys import REDIS, RESULTS
from gateway.http.answers import answer
from gateway.http.server import STOP
from gateway.monitoring.health import VERBOSE, gateway_state, service_state
from shared.contract import Status
from shared.heartbeat import OK

routes = web.RouteTableDef()


@routes.get("/healthz")
async def health(_request: web.Request) -> web.Response:
    """The process is alive."""
    return answer(Status.OK, "alive")


@routes.get("/readyz")
async def ready(request: web.Request) -> web.Response:
    """Answer balancers: 200 while this gateway answers callers, even if with FAIL; 503 while it starts and once it
    stops.

    With ?verbose=1, for people and monitors: 200 if the whole service works now, else 503; with the state of each part.
    """
    stop = request.app.get(STOP)
    if stop is not None and stop.is_set():
        return answer(Status.FAIL, {"gateway": "is stopping"})
    parts = {"gateway": gateway_state(request.app[RESULTS])}
    if request.query.get(VERBOSE, "0") != "0":
        parts |= await service_state(request.app[REDIS], request.app[RESULTS])
    return answer(Status.OK if set(parts.values()) == {OK} else Status.FAIL, parts)
