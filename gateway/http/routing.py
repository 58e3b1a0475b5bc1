"""The calls that an application serves, and the call that a request makes."""

from typing import Final

from aiohttp import web

from shared.calls import CALLS, Call

TABLE: Final = web.AppKey("table", tuple[Call, ...])
"""The calls of an application; where it is not set, those of the API."""


JOB: Final = "getjob"
"""The name of the route by which callers look up what became of an asynchronous job: of GET JOB_PATH."""

JOB_PATH: Final = "/v1/jobs/{job_id}"


def calls_of(app: web.Application) -> tuple[Call, ...]:
    """Return the calls that the application serves."""
    return app.get(TABLE, CALLS)


def call_of(request: web.Request) -> Call | None:
    """Return the call that a request makes, by the name of its route; None for any other path or method."""
    return call_named(request.app, request.match_info.route.name)


def call_named(app: web.Application, name: str | None) -> Call | None:
    """Return the call of that name, None if the application serves none."""
    return next((call for call in calls_of(app) if call.name == name), None)
