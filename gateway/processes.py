"""The parent of a gateway's processes, where `facesearch up` is not: it opens the sockets, starts the processes, starts
them again when they die, and stops them.

It imports none of what serves requests, and so takes half the memory of a process that does.
"""

import asyncio
import socket
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import structlog

from gateway.http.listening import listen
from shared.gateway_process import GatewayProcesses
from shared.host.descriptors import raise_limit
from shared.settings import Settings
from shared.supervisor import Children, stop_on_signals

log = structlog.stdlib.get_logger(__name__)

POLL_S: Final = 0.05


async def supervise(settings: Settings, count: int, fds: Sequence[int], admin_fd: int | None) -> None:
    """Run that many processes until SIGINT or SIGTERM, and return when they have finished their requests. A second
    signal kills them. fds, admin_fd: inherited listening sockets.

    Raises OperatorError when a process cannot start, and OSError when an address cannot be used.
    """
    raise_limit()
    with ExitStack() as stack:
        sockets = [socket.socket(fileno=fd) for fd in fds] or await listen(settings.host, settings.port)
        for sock in sockets:
            stack.enter_context(sock)
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="facesearch-"))
        processes = GatewayProcesses(settings, count, Path(folder))
        async with Children() as children:
            stop = stop_on_signals(children)
            await children.start(*processes.commands([sock.fileno() for sock in sockets], admin_fd))
            while not stop.is_set() and not all(map(_serves, processes.sockets)):
                children.require_alive()
                await asyncio.sleep(POLL_S)
            children.mark_up()
            log.info("gateway_processes_started", count=count)
            await stop.wait()
            # Once the processes have closed theirs, too, the system refuses callers, who can go elsewhere.
            for sock in sockets:
                sock.close()


def _serves(path: Path) -> bool:
    """Return whether the process with that socket serves."""
    with socket.socket(socket.AF_UNIX) as own:
        own.setblocking(False)
        try:
            own.connect(str(path))
        except OSError:
            return False
    return True
