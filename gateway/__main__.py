"""Run a gateway: `python -m gateway`, with its settings in the environment.

Listening sockets may be inherited from `facesearch up` by `--fd N` and `--admin-fd N`, and then survive a restart of
this process. Without an admin key there is no admin API.
"""

import argparse
import asyncio
import signal
import socket
import sys

import structlog
import uvloop

from gateway.admin.app import create_admin_app
from gateway.app import create_app
from gateway.app_keys import METRICS
from gateway.http.connections import Connections, connection_limit
from gateway.http.server import Site, serve
from gateway.metrics import ConnectionMetrics
from gateway.monitoring.broker import create_metrics_app
from shared import unknown_variables
from shared.calls import CALLS, Call
from shared.errors import OperatorError
from shared.host.descriptors import raise_limit
from shared.observability import logs
from shared.settings import Settings

log = structlog.stdlib.get_logger(__name__)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m gateway")
    parser.add_argument("--fd", type=int, help="file descriptor of a listening socket")
    parser.add_argument("--admin-fd", type=int, help="the same for the admin API")
    arguments = parser.parse_args()
    try:
        settings = Settings.read()
        logs.configure(settings.log_level, settings.log_format, "gateway")
        unknown_variables.warn(log)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run(settings, arguments.fd, arguments.admin_fd))
    except (OperatorError, OSError) as error:  # OSError: an address cannot be used
        sys.exit(f"gateway cannot start: {error}")


async def run(settings: Settings, fd: int | None, admin_fd: int | None, calls: tuple[Call, ...] = CALLS) -> None:
    """Serve the calls until SIGINT or SIGTERM. fd, admin_fd: inherited listening sockets."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    app = create_app(settings, calls)
    connections = _connections(settings, app[METRICS].connections)
    sites = [Site(app, settings.host, settings.port, _inherited(fd), connections)]
    if settings.admin_key is not None:
        admin = create_admin_app(settings)
        sites.append(Site(admin, settings.admin_host, settings.admin_port, _inherited(admin_fd)))
    if settings.metrics_port is not None:
        sites.append(Site(create_metrics_app(app), settings.metrics_host, settings.metrics_port))
    await serve(sites, stop, drain_s=settings.drain_s, deadline_s=settings.deadline_s)


def _connections(settings: Settings, counts: ConnectionMetrics) -> Connections:
    descriptors = raise_limit()
    most = connection_limit(descriptors, settings.connections)
    if most < settings.connections:
        log.info("connections_fewer", wanted=settings.connections, most=most, descriptors=descriptors)
    return Connections(most, settings.connections_per_address, settings.known_proxies, counts)


def _inherited(fd: int | None) -> socket.socket | None:
    return None if fd is None else socket.socket(fileno=fd)


if __name__ == "__main__":
    main()
