"""Run a gateway: `python -m gateway`, with its settings in the environment.

Listening sockets may be inherited from a parent by `--fd N`, as often as there are, and `--admin-fd N`; they then
survive a restart of this process. Without an admin key there is no admin API. With FACESEARCH_GATEWAY_PROCESSES above 1
this process becomes the parent of as many, which it tells by `--process` and `--folder` that they are some of them.
"""

import argparse
import asyncio
import os
import sys

import structlog

from shared import unknown_variables
from shared.errors import OperatorError
from shared.gateway_process import GatewayProcess, asked_for
from shared.observability import logs
from shared.settings import Settings

log = structlog.stdlib.get_logger(__name__)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m gateway")
    parser.add_argument("--fd", type=int, action="append", default=[], help="file descriptor of a listening socket")
    parser.add_argument("--admin-fd", type=int, help="the same for the admin API")
    parser.add_argument("--process", metavar="NUMBER/OF", help="which process of a gateway this is, such as 2/4")
    parser.add_argument("--folder", help="folder of the sockets of these processes")
    parser.add_argument("--reason-fd", type=int, help="file descriptor for why it cannot start, instead of the log")
    parser.add_argument("--beat-fd", type=int, help="file descriptor to which it writes while its event loop turns")
    arguments = parser.parse_args()
    try:
        _run(arguments)
    except (OperatorError, OSError) as error:  # OSError: an address cannot be used
        if arguments.reason_fd is None:
            sys.exit(f"gateway cannot start: {error}")
        os.write(arguments.reason_fd, f"{error}\n".encode())
        sys.exit(1)


def _run(arguments: argparse.Namespace) -> None:
    settings = Settings.read()
    process = GatewayProcess()
    if arguments.process is not None:
        process = GatewayProcess.parse(arguments.process, arguments.folder)
    logs.configure(settings.log_level, settings.log_format, process.name)
    count = 1
    if arguments.process is None:  # else its parent has done the same
        unknown_variables.warn(log)
        count = asked_for(settings)
    if count > 1:
        from gateway.processes import supervise  # noqa: PLC0415 -- each of the two imports only what it needs

        asyncio.run(supervise(settings, count, arguments.fd, arguments.admin_fd))
    else:
        from gateway.serving import run  # noqa: PLC0415 -- see above

        run(settings, process, arguments.fd, arguments.admin_fd, arguments.beat_fd)


if __name__ == "__main__":
    main()
