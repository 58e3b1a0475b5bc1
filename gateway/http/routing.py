"""The calls that an application serves, and the call that a request makes."""

from typing import Final

from aiohttp import web

from shared.calls import CALLS, Call

TABLE: Final = web.AppKey("table", tuple[Call, ...])
"""The calls of an application; where it is not set, those of the API."""


def calls_of(app: web.Application) -> tuple[Call, ...]:
    """Return the calls that the application serves."""
    return app.get(TABLE, CALLS)


def call_of(request: web.Request) -> Call | None:
    """Return the call that a request makes, by the name of its route; None for any other path or method."""
    name = request.match_info.route.name
    return next((call for call in calls_of(request.app) if call.name == name), None)
