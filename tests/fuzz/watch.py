"""Measures from outside the memory, files and connections of a service's processes, and reads its log."""

import re
from dataclasses import dataclass
from typing import Final

from service import Service

NAMES: Final = ("worker", "gateway")

_BAD: Final = re.compile(r'Traceback|"exception"|"level": "(error|critical)"|\[(error|critical) ')


@dataclass(frozen=True)
class Resources:
    """The resources of one process. rss_mb: resident memory in MiB. connections: sockets, except those of callers.
    files: open files that are not connections.
    """

    rss_mb: int
    files: int
    connections: int
    threads: int


def resources(service: Service) -> dict[str, Resources]:
    """Return the resources of each process, by its name."""
    found = {}
    for name in NAMES:
        child = service.child(f"-m {name}")
        sockets = len(child.net_connections("all"))
        connections = sockets - (callers(service) if name == "gateway" else 0)
        found[name] = Resources(
            child.memory_info().rss >> 20, child.num_fds() - sockets, connections, child.num_threads()
        )
    return found


def identities(service: Service) -> set[tuple[int, float]]:
    """Return the identities of its processes; a restarted process has another."""
    return {(process.pid, process.create_time()) for process in service.processes()}


def callers(service: Service) -> int:
    """Return how many connections the gateway has with callers."""
    port = int(service.address.rpartition(":")[2])
    open_ = service.child("-m gateway").net_connections("tcp")
    return sum(1 for connection in open_ if connection.laddr.port == port and connection.raddr)


def bad_lines(said: list[str]) -> list[str]:
    """Return log lines that no request may cause: errors, in either log format, and tracebacks."""
    return [line for line in said if _BAD.search(line)]
