"""The paths of pages: `/console` and `/docs` with the page of the API."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from aiohttp import web

from gateway.pages.files import PageFile, read_files

_FOLDER: Final = Path(__file__).parent

API: Final = "/docs"
"""The path of the page of the API."""

API_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""What the page of the API may do: nothing from another host. Swagger UI sets styles of elements and has its icons in
data URLs.
"""


CONSOLE: Final = "/console"
"""The path of the console."""

CONSOLE_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""What the console may do. Photos of its tab are data and blob URLs."""


def console(start: str) -> list[web.RouteDef]:
    """Return the routes of a console. start: the script that starts it, `main.js` for callers, `operations.js` for
    operators.
    """
    files = read_files(_FOLDER / "console")
    files["start.js"] = files[start]
    return _page(CONSOLE, files, CONSOLE_POLICY)


async def to_console(_request: web.Request) -> web.Response:
    """Lead to the console, by a relative address, so that a proxy may put a prefix before the path."""
    return web.Response(status=302, headers={"Location": CONSOLE.removeprefix("/")})


def api_page(start: str) -> list[web.RouteDef]:
    """Return the routes of the page of an API. start: the script that starts it, `gateway.js` or `admin.js`."""
    files = read_files(_FOLDER / "api")
    files["start.js"] = files[start]
    return _page(API, files, API_POLICY)


def is_page(path: str) -> bool:
    """Return whether a path is that of a page or below it."""
    return any(path == page or path.startswith(f"{page}/") for page in (API, CONSOLE))


def _page(path: str, files: dict[str, PageFile], policy: str) -> list[web.RouteDef]:
    """Return the routes of a page: its index.html at the path, all else below it, which its references name relative to
    the path, so that a proxy may put a prefix before it.
    """
    below = ((name, file) for name, file in files.items() if name != "index.html")
    return [
        web.get(path, _handler(files["index.html"], policy)),
        *(web.get(f"{path}/{name}", _handler(file, policy)) for name, file in below),
    ]


def _handler(file: PageFile, policy: str) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(request: web.Request) -> web.Response:
        return file.response(request, policy)

    return handle
