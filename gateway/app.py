"""Wiring: what the gateway is made of, opened and closed in order."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress

import structlog
from aiohttp import web
from redis import RedisError
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from gateway.auth import Auth
from gateway.jobs import GRACE_S, Jobs
from gateway.limits import Limits
from gateway.metering import METER, Meter, metered
from gateway.middleware import errors, request_id
from gateway.results import RECONNECT_S, Results
from gateway.routes import AUTH, JOBS, LIMITS, REDIS, RESULTS, SETTINGS, routes
from gateway.timeouts import TIMEOUTS, Timeouts
from gateway.uploads import MAX_BODY_BYTES
from shared.broker import SOCKET_TIMEOUT_S
from shared.control import Control
from shared.jobs import new_gateway_id
from shared.settings import Settings

log = structlog.stdlib.get_logger(__name__)

CONNECTIONS = 32
"""Of one client; beyond these a command waits its turn, SOCKET_TIMEOUT_S at most. Redis answers one by one anyway, and
opening a connection costs as much as ten commands."""

LEASE_MARGIN_S = 2.0
"""How much longer than a body and a deadline a request may take in all: look-ups, and the delays of a busy gateway."""


def create_app(settings: Settings) -> web.Application:
    """The gateway as an aiohttp application; it connects when it starts."""
    app = web.Application(middlewares=[request_id, metered, errors], client_max_size=MAX_BODY_BYTES)
    app[SETTINGS] = settings
    app.add_routes(routes)
    app.cleanup_ctx.append(_resources)
    return app


def connect(url: str) -> Redis:
    """A client that fails visibly: whoever uses it decides whether to try again."""
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=CONNECTIONS,
        timeout=SOCKET_TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
        socket_timeout=SOCKET_TIMEOUT_S,
        socket_connect_timeout=SOCKET_TIMEOUT_S,
    )
    return Redis.from_pool(pool)


async def _resources(app: web.Application) -> AsyncIterator[None]:
    settings = app[SETTINGS]
    async with AsyncExitStack() as stack:
        redis = await stack.enter_async_context(connect(settings.broker))
        images = await stack.enter_async_context(connect(settings.images))
        control = Control(redis)
        gateway_id = new_gateway_id()
        results = Results(redis, gateway_id)
        serving = asyncio.create_task(_serve(settings, control, results))
        stack.push_async_callback(_cancel, serving)
        jobs = Jobs(settings, gateway_id, redis, images, results)
        stack.push_async_callback(jobs.close)
        meter = Meter(redis, gateway_id)
        stack.push_async_callback(meter.close)
        stack.push_async_callback(_cancel, asyncio.create_task(meter.run()))
        app[AUTH] = Auth(control)
        app[LIMITS] = _limits(settings, redis, app.get(TIMEOUTS) or Timeouts())
        app[METER] = meter
        app[REDIS] = redis
        app[RESULTS] = results
        app[JOBS] = jobs
        log.info("gateway_started", gateway_id=gateway_id)
        yield


def _limits(settings: Settings, redis: Redis, timeouts: Timeouts) -> Limits:
    return Limits(
        redis,
        rate=settings.rate,
        concurrency=settings.concurrency,
        in_flight=settings.in_flight,
        lease_s=timeouts.body_s + settings.deadline_s + GRACE_S + LEASE_MARGIN_S,
    )


async def _serve(settings: Settings, control: Control, results: Results) -> None:
    """Make the first key known, then receive results. A broker that is not there yet is waited for: until then the
    gateway lives but is not ready.
    """
    while settings.api_key is not None:
        try:
            await control.set_first_key(settings.api_key.get_secret_value())
            break
        except (RedisError, OSError) as error:
            log.warning("broker_not_reached", error=type(error).__name__)
            await asyncio.sleep(RECONNECT_S)
    await results.listen()


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
