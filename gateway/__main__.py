"""Run a gateway: `python -m gateway`, with its settings in the environment.

A listening socket may be inherited, as `facesearch up` does: `--fd N`. It then survives a restart of this process.
"""

import argparse
import socket

import uvloop
from aiohttp import web

from gateway.app import create_app
from shared import logs
from shared.settings import Settings

SHUTDOWN_S = 15.0
"""How long requests in flight may take to finish after SIGTERM: longer than any deadline of the default settings."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m gateway")
    parser.add_argument("--fd", type=int, help="file descriptor of a listening socket")
    fd = parser.parse_args().fd
    settings = Settings()
    logs.configure(settings.log_level, settings.log_format, "gateway")
    where = {"sock": socket.socket(fileno=fd)} if fd is not None else {"host": settings.host, "port": settings.port}
    web.run_app(
        create_app(settings),
        **where,
        access_log=None,
        print=None,
        shutdown_timeout=SHUTDOWN_S,
        loop=uvloop.new_event_loop(),
        handler_cancellation=False,
    )


if __name__ == "__main__":
    main()
