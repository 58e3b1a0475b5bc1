"""Running several applications in one process, each on a socket of its own, with a graceful shutdown."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from aiohttp import web
from yarl import URL

from gateway.http.acceptor import Acceptor
from gateway.http.connection import Connection, refusal, unsupported
from gateway.http.connections import Connections
from gateway.http.listening import listen
from gateway.http.timeouts import TIMEOUTS, Timeouts

STOP: Final = web.AppKey("stop", asyncio.Event)
"""Set when the gateway is to stop: it still answers requests, and is no longer ready."""

SHUTDOWN_MARGIN_S: Final = 5.0
"""Seconds beyond their deadline that requests in flight may take to finish after SIGTERM."""

_Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Site:
    """An application, its connections, by default SIDE_CONNECTIONS, and where it listens: the sockets or, if there are
    none, the address.
    """

    app: web.Application
    host: str | None = None
    port: int = 0
    sockets: Sequence[socket.socket] = ()
    connections: Connections = field(default_factory=Connections)


async def serve(
    sites: Sequence[Site],
    stop: asyncio.Event,
    timeouts: Timeouts | None = None,
    *,
    drain_s: float = 0,
    deadline_s: float = 10,
) -> None:
    """Serve every site until `stop` is set and for drain_s seconds more, in which the applications report that they are
    not ready. Then wait for requests in flight, at most deadline_s + SHUTDOWN_MARGIN_S seconds.

    Raises OSError when an address cannot be listened on, and whatever an application raises when it starts.
    """
    timeouts = timeouts or Timeouts()
    runners: list[web.AppRunner] = []
    acceptors: list[Acceptor] = []
    try:
        for site in sites:
            site.app[TIMEOUTS] = timeouts
            site.app[STOP] = stop
            runner = web.AppRunner(site.app, shutdown_timeout=deadline_s + SHUTDOWN_MARGIN_S, access_log=None)
            runners.append(runner)
            await runner.setup()
            acceptors.extend(await _listen(site, runner, timeouts, stop))
        await stop.wait()
        await asyncio.sleep(drain_s)
    finally:
        for acceptor in acceptors:
            acceptor.close()
        await asyncio.gather(*(runner.cleanup() for runner in runners))


async def _listen(site: Site, runner: web.AppRunner, timeouts: Timeouts, stop: asyncio.Event) -> list[Acceptor]:
    server = runner.server
    if server is None:
        raise RuntimeError("the application has not been started")
    server.request_handler = _with_json_refusals(server.request_handler, stop)
    loop = asyncio.get_running_loop()

    def connection() -> Connection:
        return Connection(server, loop=loop, timeouts=timeouts, connections=site.connections)

    sockets = site.sockets or await listen(site.host, site.port)
    return [Acceptor(sock, site.connections, connection) for sock in sockets]


def _with_json_refusals(handler: _Handler, stop: asyncio.Event) -> _Handler:
    """Return the handler with JSON answers to requests that aiohttp refuses before any middleware, such as those with
    an unknown Expect header. Once `stop` is set, each connection ends with its next answer, which says so, so that no
    caller sends a request into a connection that is being closed.
    """

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        try:
            refused = unsupported(request)
            response = await handler(_without_extra_slashes(request)) if refused is None else refused
        except web.HTTPExpectationFailed as error:
            response = refusal(error.status, "Expect must be 100-continue")
        if stop.is_set():
            response.force_close()
        return response

    return handle


def _without_extra_slashes(request: web.BaseRequest) -> web.BaseRequest:
    """Return the request with single slashes in its path and none at its end: callers join URLs carelessly, and most
    clients lose the body on a redirect.
    """
    path = request.rel_url.raw_path
    plain = "/" + "/".join(part for part in path.split("/") if part)
    if path == plain or not path.startswith("/"):
        return request
    return request.clone(rel_url=URL.build(path=plain, query_string=request.rel_url.raw_query_string, encoded=True))
