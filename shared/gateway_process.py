"""A gateway may be several processes, which accept connections from the same sockets and share its limits.

`facesearch up` and `python -m gateway` start them, and each is told which one it is. Decision 21 has the reasons.
"""

import math
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from shared.errors import OperatorError
from shared.host.cores import cores
from shared.settings import LEAST_BODY_MEMORY_MIB, Settings
from shared.supervisor import Command

CORES_EACH: Final = {"cpu": 8, "cuda": 4}
"""Cores of a machine for each process of its gateway, by FACESEARCH_DEVICE. A process answers about 500 requests a
second. Eight cores search some 220 times a second; with a GPU four do some 300 or more."""

GRACE_S: Final = 10.0
"""Seconds beyond a request's deadline in which a process must end: above the margin of a gateway's own shutdown."""

CONNECTIONS: Final = "gateway-connections"
"""File in the folder of the processes with their numbers of connections."""

_MIB: Final = 1 << 20


@dataclass(frozen=True)
class GatewayProcess:
    """One of the processes of a gateway. number: from 1 to `of`, how many there are. folder: holds their sockets, and
    is that of one gateway alone; None only for a gateway of one process.
    """

    number: int = 1
    of: int = 1
    folder: Path | None = None

    @classmethod
    def parse(cls, place: str, folder: str) -> Self:
        """Return the process of a text such as 2/4. Raises ValueError."""
        found = re.fullmatch(r"(\d+)/(\d+)", place)
        if found is None or not 1 <= int(found[1]) <= int(found[2]):
            raise ValueError(f"not a number such as 2/4: {place}")
        return cls(int(found[1]), int(found[2]), Path(folder))

    @property
    def name(self) -> str:
        """The name in logs."""
        return "gateway" if self.of == 1 else f"gateway {self.number}"

    @property
    def is_first(self) -> bool:
        """Whether it serves the admin API and the metrics, which have few callers."""
        return self.number == 1

    @property
    def sockets(self) -> dict[int, Path]:
        """The Unix sockets on which each process tells how it is, by its number; none for a gateway of one process."""
        if self.of == 1 or self.folder is None:
            return {}
        return {number: self.folder / f"gateway-{number}.sock" for number in range(1, self.of + 1)}

    def share(self, total: int) -> int:
        """Return this process's part of a total; the parts of all processes are the total, if that is not less than
        their number.
        """
        return max(1, total // self.of + (self.number <= total % self.of))

    def limited(self, settings: Settings) -> Settings:
        """Return the settings with this process's part of each limit of the gateway."""
        if self.of == 1:
            return settings
        per_address = settings.connections_per_address
        return settings.model_copy(
            update={
                "in_flight": self.share(settings.in_flight),
                "connections": self.share(settings.connections),
                "connections_per_address": None if per_address is None else self.share(per_address),
                "body_memory_mib": self.share(settings.body_memory_bytes // _MIB),
            }
        )


@dataclass(frozen=True)
class GatewayProcesses:
    """The processes of one gateway. settings: of all of them. count: >= 1. folder: empty, for this gateway alone."""

    settings: Settings
    count: int
    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    def commands(self, listening: Sequence[int], admin: int | None = None) -> list[Command]:
        """Return the commands that start them. listening: file descriptors of the sockets for callers, which each
        inherits. admin: that of the admin API, which the first one inherits; None: it opens one if there is an admin
        key.
        """
        return [self._command(process, listening, admin if process.is_first else None) for process in self.all()]

    def all(self) -> list[GatewayProcess]:
        return [GatewayProcess(number, self.count, self.folder) for number in range(1, self.count + 1)]

    @property
    def sockets(self) -> list[Path]:
        """The sockets on which the processes tell how they are; each can be connected to once its process serves."""
        return list(self.all()[0].sockets.values())

    def _command(self, process: GatewayProcess, listening: Sequence[int], admin: int | None) -> Command:
        argv = [sys.executable, "-m", "gateway", "--process", f"{process.number}/{process.of}"]
        argv += ["--folder", str(self.folder)]
        for descriptor in listening:
            argv += ["--fd", str(descriptor)]
        inherited = list(listening)
        if admin is not None:
            argv += ["--admin-fd", str(admin)]
            inherited.append(admin)
        grace_s = self.settings.deadline_s + GRACE_S + self.settings.drain_s
        return Command(process.name, argv, self.environment, inherited, grace_s=grace_s, gives_reason=True, beats=True)


def asked_for(settings: Settings) -> int:
    """Return the number of processes that the settings ask for, by default one. Raises OperatorError if the limits of
    the gateway do not suffice for as many.
    """
    wanted = settings.gateway_processes or 1
    for variable, most in _most(settings).items():
        if wanted > max(1, most):
            raise OperatorError(
                f"FACESEARCH_GATEWAY_PROCESSES is {wanted}, but {variable}, which they share, suffices for {most}; "
                "lower the one or raise the other"
            )
    return wanted


def chosen(settings: Settings) -> int:
    """Return the number of processes of a gateway on the machine of the whole service: what the settings ask for, or
    one for every CORES_EACH cores, rounded up. Raises OperatorError as asked_for does.
    """
    if settings.gateway_processes:
        return asked_for(settings)
    return max(1, min(math.ceil(cores() / CORES_EACH[settings.device]), *_most(settings).values()))


def _most(settings: Settings) -> dict[str, int]:
    """Return for how many processes each limit suffices, by its variable."""
    limits = {
        "FACESEARCH_IN_FLIGHT": settings.in_flight,
        "FACESEARCH_CONNECTIONS": settings.connections,
        "FACESEARCH_BODY_MEMORY_MIB": settings.body_memory_bytes // (LEAST_BODY_MEMORY_MIB * _MIB),
    }
    if settings.connections_per_address is not None:
        limits["FACESEARCH_CONNECTIONS_PER_ADDRESS"] = settings.connections_per_address
    return limits
