"""One process that serves the calls, alone or as one of the processes of a gateway."""

import asyncio
import signal
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import structlog
import uvloop

from gateway.admin.app import create_admin_app
from gateway.app import create_app
from gateway.app_keys import METRICS
from gateway.http.balance import Balance
from gateway.http.connections import Connections, connection_limit
from gateway.http.server import Site, serve
from gateway.metrics import ConnectionMetrics
from gateway.monitoring.scrape import create_metrics_app, create_process_app, own_metrics
from shared.calls import CALLS, Call
from shared.gateway_process import CONNECTIONS, GatewayProcess
from shared.host.descriptors import raise_limit
from shared.settings import Settings
from shared.supervisor import beat

log = structlog.stdlib.get_logger(__name__)

ALONE = GatewayProcess()


def run(
    settings: Settings, process: GatewayProcess, fds: Sequence[int], admin_fd: int | None, beat_fd: int | None
) -> None:
    """Serve the calls until SIGINT or SIGTERM. fds, admin_fd: inherited listening sockets. beat_fd: a pipe to a parent
    that starts another process when this one hangs. Raises as `serving`.
    """

    async def serve_alive() -> None:
        beating = None if beat_fd is None else asyncio.create_task(beat(beat_fd))
        try:
            await serving(settings, fds, admin_fd, process=process)
        finally:
            if beating is not None:
                beating.cancel()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve_alive())


async def serving(
    settings: Settings,
    fds: Sequence[int] = (),
    admin_fd: int | None = None,
    calls: tuple[Call, ...] = CALLS,
    process: GatewayProcess = ALONE,
) -> None:
    """Serve the calls until SIGINT or SIGTERM. settings: with the limits of the whole gateway.

    Raises OperatorError, and OSError when an address cannot be used.
    """
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    settings = process.limited(settings)
    app = create_app(settings, calls)
    own_metrics(app, process)
    connections = _connections(settings, process, app[METRICS].connections)
    sites = [Site(app, settings.host, settings.port, [socket.socket(fileno=fd) for fd in fds], connections)]
    if settings.admin_key is not None and process.is_first:
        inherited = [] if admin_fd is None else [socket.socket(fileno=admin_fd)]
        sites.append(Site(create_admin_app(settings), settings.admin_host, settings.admin_port, inherited))
    if settings.metrics_port is not None and process.is_first:
        sites.append(Site(create_metrics_app(app, process), settings.metrics_host, settings.metrics_port))
    with _own_socket(process) as own:
        if own is not None:
            sites.append(Site(create_process_app(app), sockets=[own]))
        await serve(sites, stop, drain_s=settings.drain_s, deadline_s=settings.deadline_s)


def _connections(settings: Settings, process: GatewayProcess, counts: ConnectionMetrics) -> Connections:
    descriptors = raise_limit()
    most = connection_limit(descriptors, settings.connections)
    if most < settings.connections:
        log.info("connections_fewer", wanted=settings.connections, most=most, descriptors=descriptors)
    balance = None
    if process.of > 1 and process.folder is not None:
        balance = Balance(process.folder / CONNECTIONS, process.number, process.of)
    return Connections(most, settings.connections_per_address, settings.known_proxies, counts, balance)


@contextmanager
def _own_socket(process: GatewayProcess) -> Iterator[socket.socket | None]:
    """Yield the socket on which this process tells how it is, None if it is alone."""
    path: Path | None = process.sockets.get(process.number)
    if path is None:
        yield None
        return
    path.unlink(missing_ok=True)  # of a process that was killed
    with socket.socket(socket.AF_UNIX) as own:
        own.bind(str(path))
        try:
            yield own
        finally:
            path.unlink(missing_ok=True)
