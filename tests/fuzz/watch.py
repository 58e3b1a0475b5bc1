"""Looking at the running service from outside: what its processes hold, and what it has said."""

import re
from dataclasses import dataclass
from typing import Final

from service import Service

NAMES: Final = ("worker", "gateway")

_BAD: Final = re.compile(r'Traceback|"exception"|"level": "(error|critical)"|\[(error|critical) ')


@dataclass(frozen=True)
class Held:
    """What one process holds. rss_mb: resident memory in MiB. connections: sockets, but those of callers. files: open
    files that are no connections.
    """

    rss_mb: int
    files: int
    connections: int
    threads: int


def held(service: Service) -> dict[str, Held]:
    """By name of the process."""
    found = {}
    for name in NAMES:
        child = service.child(f"-m {name}")
        sockets = len(child.net_connections("all"))
        connections = sockets - (callers(service) if name == "gateway" else 0)
        found[name] = Held(child.memory_info().rss >> 20, child.num_fds() - sockets, connections, child.num_threads())
    return found


def identities(service: Service) -> set[tuple[int, float]]:
    """Of all its processes: another one in the place of one that died has another."""
    return {(process.pid, process.create_time()) for process in service.processes()}


def callers(service: Service) -> int:
    """How many connections the gateway has with callers."""
    port = int(service.address.rpartition(":")[2])
    open_ = service.child("-m gateway").net_connections("tcp")
    return sum(1 for connection in open_ if connection.laddr.port == port and connection.raddr)


def bad_lines(said: list[str]) -> list[str]:
    """What no request may make the service say: errors, in either style of the log, and tracebacks."""
    return [line for line in said if _BAD.search(line)]
