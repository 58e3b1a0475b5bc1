"""The calls that an application serves, and the call that a request makes."""

from typing import Final

from aiohttp import web

from shared.calls import CALLS, GET_JOB, Call, Counted

TABLE: Final = web.AppKey("table", tuple[Call, ...])
"""The calls of an application; where it is not set, those of the API."""


def calls_of(app: web.Application) -> tuple[Call, ...]:
    """Return the calls that the application serves."""
    return app.get(TABLE, CALLS)


def call_of(request: web.Request) -> Counted | None:
    """Return the call or the look-up that a request makes, by the name of its route; None for any other path or
    method.
    """
    name = request.match_info.route.name
    return GET_JOB if name == GET_JOB.name else call_named(request.app, name)


def call_named(app: web.Application, name: str | None) -> Call | None:
    """Return the call of that name, None if the application serves none."""
    return next((call for call in calls_of(app) if call.name == name), None)
