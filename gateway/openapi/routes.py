"""`GET /openapi.json`: the API's document."""

from aiohttp import web

from gateway.app_keys import SETTINGS
from gateway.http.routing import calls_of
from gateway.openapi import document

routes = web.RouteTableDef()


@routes.get("/openapi.json")
async def openapi(request: web.Request) -> web.Response:
    """The document; needs no key."""
    settings = request.app[SETTINGS]
    text = document.text(settings.names, settings.http_status, calls_of(request.app))
    return web.Response(text=text, content_type="application/json")
