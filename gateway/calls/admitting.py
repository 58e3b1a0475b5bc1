"""Admitting a request: its key, the key's scope, and what it may take of this gateway and of its limits."""

from contextlib import AsyncExitStack

from aiohttp import web

from gateway.access.authentication import require
from gateway.app_keys import ADMISSION, AUTH, LIMITS, METRICS
from gateway.calls.metering import CALLER
from gateway.calls.preferences import KNOWN
from gateway.http.headers import API_KEY
from shared.control import Caller, Scope


async def admit(request: web.Request, held: AsyncExitStack, scope: Scope | None, *, in_time: bool = True) -> Caller:
    """Return the key of a request, which has a place in this gateway and now counts against its tenant's share and
    the key's limits until `held` ends.

    scope: what the key must have; None: any. in_time: whether the request is refused if a job would be late. Raises
    Unauthorized, Forbidden, GatewayFull, Overloaded, TooFast, TooManyRequests, and Unavailable.
    """
    app = request.app
    with app[METRICS].stages.time("limits"):
        key = request[KNOWN] = await app[AUTH].key(request.headers.get(API_KEY))
        if scope is not None:
            require(scope, key)
        request[CALLER] = key
        held.enter_context(app[ADMISSION].share(key.tenant_id, in_time=in_time))
        await held.enter_async_context(app[LIMITS].hold(key))
    return key
