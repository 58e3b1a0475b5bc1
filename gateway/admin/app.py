"""The admin API as an application beside the gateway's own."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, closing
from typing import Any, Final

from aiohttp import web
from pydantic_core import to_jsonable_python
from redis.asyncio import Redis

from gateway.admin import document
from gateway.admin.auditing import audit, wrong_keys_audited
from gateway.admin.bodies import MAX_BODY_BYTES, parse
from gateway.admin.middleware import operator_errors, require_admin_key
from gateway.admin.operations import OPERATIONS, PREFIX, Operation
from gateway.admin.usage import usage_answer
from gateway.admin.wrong_keys import WrongKeys
from gateway.body.query import read_query
from gateway.body.reading import defer_continue, read_body
from gateway.http.answers import answer
from gateway.http.middleware import errors, request_id
from gateway.pages.routes import api_page, console
from shared.contract import Status
from shared.control import FIRST_KEY_FILE, Control
from shared.operator_jobs import OperatorJobs
from shared.redis_clients import connect
from shared.settings import Settings

CONTROL: Final = web.AppKey("control", Control)
JOBS: Final = web.AppKey("operator_jobs", OperatorJobs)
IMAGES: Final = web.AppKey("images", Redis)


def create_admin_app(settings: Settings) -> web.Application:
    """Return the admin API as an aiohttp application, which connects when it starts. Raises ValueError if the settings
    have no admin key: then there is no admin API.
    """
    if settings.admin_key is None:
        raise ValueError("FACESEARCH_ADMIN_KEY is not set")
    key = settings.admin_key.get_secret_value()
    wrong_keys = WrongKeys()
    app = web.Application(middlewares=[request_id, errors, require_admin_key(key, wrong_keys), operator_errors])
    app.add_routes([web.route(o.method, o.path, _handler(o), expect_handler=defer_continue) for o in OPERATIONS])
    app.add_routes([web.get(f"{PREFIX}/usage", _usage, allow_head=False), web.get("/openapi.json", _openapi)])
    if settings.pages:
        app.add_routes([*console("operations.js"), *api_page("admin.js")])
    app.cleanup_ctx.append(_resources(settings, wrong_keys))
    return app


def _handler(operation: Operation) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(request: web.Request) -> web.Response:
        given: dict[str, Any] = dict(request.match_info)
        if operation.body is not None:
            given["body"] = parse(operation.body, await read_body(request, MAX_BODY_BYTES))
        if operation.query is not None:
            given["query"] = read_query(request, operation.query_parameters()).text
        by = f"admin API, {request.remote}"
        if operation.signed:
            given["by"] = by
        if operation.asks_images:
            given["images"] = request.app[IMAGES]
        uses = request.app[JOBS] if operation.asks_worker else request.app[CONTROL]
        result = await operation.perform(uses, **given)
        event = operation.audit_event(given, result, by)
        if event is not None:
            await audit(request.app[CONTROL].redis, event)
        return answer(Status.OK, to_jsonable_python(result), operation.http_status)

    return handle


async def _usage(request: web.Request) -> web.Response:
    return await usage_answer(request.app[CONTROL].redis, request.query)


async def _openapi(_request: web.Request) -> web.Response:
    return web.Response(text=document.text(), content_type="application/json")


def _resources(settings: Settings, wrong_keys: WrongKeys) -> Callable[[web.Application], AsyncIterator[None]]:
    async def resources(app: web.Application) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            redis = await stack.enter_async_context(connect(settings.broker))
            app[CONTROL] = Control(redis, first_key_file=settings.data_dir / FIRST_KEY_FILE)
            app[IMAGES] = await stack.enter_async_context(connect(settings.images))
            app[JOBS] = stack.enter_context(closing(OperatorJobs(app[CONTROL], settings)))
            await stack.enter_async_context(wrong_keys_audited(redis, wrong_keys))
            yield

    return resources
