"""The gateway as an application: its parts, opened and closed in order."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, closing, suppress

import structlog
from aiohttp import web
from redis import RedisError
from redis.asyncio import Redis

from gateway.access.admission import Admission
from gateway.access.authentication import Auth
from gateway.access.limits import Limits
from gateway.app_keys import (
    ADMISSION,
    ASYNCHRONOUS,
    AUTH,
    BODY_MEMORY,
    CALL_LOG,
    IDEMPOTENCY,
    IMAGE_STORE,
    JOBS,
    LIMITS,
    METRICS,
    REDIS,
    RESULTS,
    SETTINGS,
)
from gateway.body.memory import BodyMemory
from gateway.body.uploads import max_body_bytes
from gateway.call_log.log import CallLog
from gateway.calls import handlers, job_lookup
from gateway.calls.logged import deliveries_logged, logged
from gateway.calls.measuring import measured
from gateway.calls.metering import METER, Meter, metered
from gateway.calls.preferences import http_status, written
from gateway.dispatch.asynchronous import AsynchronousJobs
from gateway.dispatch.idempotency import IdempotencyRecords
from gateway.dispatch.jobs import GRACE_S, Jobs
from gateway.dispatch.record_quota import RecordQuota
from gateway.dispatch.results import RECONNECT_S, Results
from gateway.http.cors import cors
from gateway.http.middleware import errors, request_id
from gateway.http.routing import TABLE
from gateway.http.timeouts import TIMEOUTS, Timeouts
from gateway.metrics import Metrics
from gateway.monitoring import probes
from gateway.openapi.routes import routes as openapi_routes
from gateway.pages.routes import api_page, console, to_console
from gateway.redis_connection import SharedConnection
from gateway.webhooks.deliveries import AT_ONCE, Deliveries
from gateway.webhooks.sending import Sender
from shared.call_log.chain import Seal
from shared.calls import CALLS, Call
from shared.control import Control
from shared.jobs import new_gateway_id
from shared.messages import Messages
from shared.observability.tracing import open_tracer
from shared.redis_clients import connect
from shared.redis_url import WAITING, parse
from shared.settings import Settings

log = structlog.stdlib.get_logger(__name__)

FIRST_KEY_HINT = (
    "nobody can call yet; make a key with `facesearch keys create --name NAME` where REDIS_URL is set, such as "
    "`docker compose exec gateway facesearch keys create --name first`"
)

CANCEL_AGAIN_S = 0.1

LEASE_MARGIN_S = 2.0
"""Seconds beyond body and deadline that a request may take in all: look-ups, and the delays of a busy gateway."""


def create_app(settings: Settings, calls: tuple[Call, ...] = CALLS) -> web.Application:
    """Return the gateway as an aiohttp application, which connects when it starts. Raises OperatorError when something
    that the settings require is not installed.
    """
    optional = [cors(settings.allowed_origins)] if settings.allowed_origins else []
    log_of_calls = [logged] if settings.call_log else []
    app = web.Application(
        middlewares=[
            *(request_id, *optional, http_status(settings.http_status)),
            *(measured, metered, *log_of_calls, errors),
        ],
        client_max_size=max_body_bytes(max(len(call.image_parameters) for call in calls)),
    )
    app[SETTINGS] = settings
    app[TABLE] = calls
    app[METRICS] = Metrics(open_tracer(settings, "facesearch-gateway"), calls)
    app.add_routes([*handlers.routes(calls), job_lookup.route(), *openapi_routes, *probes.routes])
    if settings.pages:
        app.add_routes([web.get("/", to_console), *console("main.js"), *api_page("gateway.js")])
    app.cleanup_ctx.append(_resources)
    return app


async def _resources(app: web.Application) -> AsyncIterator[None]:
    settings = app[SETTINGS]
    metrics = app[METRICS]
    async with AsyncExitStack() as stack:
        stack.callback(metrics.tracer.close)
        redis = await stack.enter_async_context(connect(settings.broker))
        image_store = await stack.enter_async_context(connect(settings.images))
        control = Control(redis)
        gateway_id = new_gateway_id()
        results = Results(redis, gateway_id)
        serving = asyncio.create_task(_serve(settings, control, results))
        stack.push_async_callback(_cancel, serving)
        broker_connection, image_store_connection = [
            await stack.enter_async_context(aclosing(SharedConnection(client))) for client in (redis, image_store)
        ]
        admission = Admission(places=settings.in_flight, deadline_s=settings.deadline_s)
        messages = stack.enter_context(closing(Messages(settings)))
        redises = (broker_connection, image_store_connection)
        jobs = Jobs(settings, gateway_id, *redises, results, messages, admission.job, metrics)
        stack.push_async_callback(jobs.close)
        asynchronous = AsynchronousJobs(settings, gateway_id, *redises, messages, metrics)
        stack.push_async_callback(_cancel, asyncio.create_task(asynchronous.run()))
        meter = Meter(redis, gateway_id)
        stack.push_async_callback(meter.close)
        stack.push_async_callback(_cancel, asyncio.create_task(meter.run()))
        if settings.call_log:
            app[CALL_LOG] = await stack.enter_async_context(_call_log(settings, redis, gateway_id, metrics))
        if hosts := settings.allowed_webhook_hosts:
            sender = Sender(AT_ONCE, settings.allowed_webhook_networks)
            stack.push_async_callback(sender.close)
            send = deliveries_logged(app[CALL_LOG], sender.send) if settings.call_log else sender.send
            deliveries = Deliveries(broker_connection, hosts, send, written, metrics.webhooks)
            stack.push_async_callback(_cancel, asyncio.create_task(deliveries.run()))
        app[AUTH] = Auth(control)
        app[ADMISSION] = admission
        app[BODY_MEMORY] = body_memory = BodyMemory(settings.body_memory_bytes)
        metrics.watch_body_memory(lambda: body_memory.held, body_memory.total)
        app[LIMITS] = _limits(settings, broker_connection, app.get(TIMEOUTS) or Timeouts())
        app[METER] = meter
        quota = RecordQuota(redis, settings.idempotency_records)
        stack.push_async_callback(_cancel, asyncio.create_task(quota.run()))
        app[IDEMPOTENCY] = IdempotencyRecords(broker_connection, settings.idempotency_s, quota)
        app[REDIS] = redis
        app[IMAGE_STORE] = image_store
        app[RESULTS] = results
        app[JOBS] = jobs
        app[ASYNCHRONOUS] = asynchronous
        log.info("gateway_started", gateway_id=gateway_id)
        yield


@asynccontextmanager
async def _call_log(settings: Settings, redis: Redis, gateway_id: str, metrics: Metrics) -> AsyncIterator[CallLog]:
    """Open the call log for the block. Raises OperatorError."""
    folder, seal = settings.call_log_folder, Seal.of(settings.call_log_key)
    call_log = CallLog(folder, seal, settings.call_log_days, redis, gateway_id, metrics.call_log)
    call_log.open()
    running = asyncio.create_task(call_log.run())
    try:
        yield call_log
    finally:
        await _cancel(running)
        await call_log.close()


def _limits(settings: Settings, redis: SharedConnection, timeouts: Timeouts) -> Limits:
    return Limits(
        redis,
        rate=settings.rate,
        concurrency=settings.concurrency,
        lease_s=timeouts.body_s + settings.deadline_s + GRACE_S + LEASE_MARGIN_S,
    )


async def _serve(settings: Settings, control: Control, results: Results) -> None:
    """Store the first key, or log how to make one, then receive results. Waits for a broker that is not there yet, with
    one warning that says where; until then the gateway is alive but not ready.
    """
    warned = False
    while True:
        try:
            if settings.api_key is not None:
                await control.set_first_key(settings.api_key.get_secret_value())
            elif not await control.ensure_tenant():
                log.warning("no_api_key", hint=FIRST_KEY_HINT)
            break
        except (RedisError, OSError) as error:
            if not warned:
                where = str(parse(settings.broker))
                log.warning("broker_not_reached", broker=where, error=type(error).__name__, hint=WAITING)
            warned = True
            await asyncio.sleep(RECONNECT_S)
    if warned:
        log.info("broker_reached")
    await results.listen()


async def _cancel(task: asyncio.Task[None]) -> None:
    # Once is not enough: redis-py loses a cancellation that arrives while it releases a connection.
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=CANCEL_AGAIN_S)
    with suppress(asyncio.CancelledError):
        await task
