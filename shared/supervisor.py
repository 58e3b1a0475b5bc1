"""Child processes, restarted when they end and never left running after their parent.

Libraries were considered in docs/decisions/0019-supervisor.md.
"""

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Self

import structlog

from shared.errors import OperatorError
from shared.host.parent import die_with_parent

log = structlog.stdlib.get_logger(__name__)

RESTART_S: Final = (0.1, 0.5, 1.0, 2.0, 5.0)
"""Delays before successive restarts; the last one repeats."""

REASON_BYTES: Final = 65536
"""Longest reason that is read: the capacity of a pipe, so that no child blocks while it writes."""

HEALTHY_S: Final = 30.0
"""After a child ran this long its next restart has the shortest delay."""


@dataclass(frozen=True)
class Command:
    """A program to run. environment: added to that of this process. inherited: file descriptors that the child keeps.
    grace_s: seconds between SIGTERM and SIGKILL. gives_reason: whether the program takes --reason-fd, a file descriptor
    to which it writes one line if it cannot start.
    """

    name: str
    argv: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    inherited: Sequence[int] = ()
    grace_s: float = 10.0
    gives_reason: bool = False


class Child:
    """One command and the process that runs it."""

    def __init__(self, command: Command) -> None:
        self._command = command
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = False
        self._supervision: asyncio.Task[None] | None = None
        self._reason_fd: int | None = None
        self.deaths = 0
        self.reason = ""
        self.is_up = False

    @property
    def name(self) -> str:
        return self._command.name

    async def start(self) -> None:
        """Start the process, and restart it whenever it ends by itself."""
        self._process = await self._spawn()
        self._supervision = asyncio.create_task(self._supervise())

    async def stop(self) -> None:
        """Send SIGTERM and, after the grace, SIGKILL; return when the process has ended."""
        self._stopping = True
        if self._process is None or self._supervision is None:
            return
        self.signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(asyncio.shield(self._supervision), self._command.grace_s)
        except TimeoutError:
            log.warning("child_killed", child=self.name, after_s=self._command.grace_s)
            self.signal(signal.SIGKILL)
            await self._supervision

    def signal(self, number: int) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def _supervise(self) -> None:
        wait = 0
        loop = asyncio.get_running_loop()
        while self._process is not None:
            started = loop.time()
            code = await self._process.wait()
            if self._stopping:
                self._read_reason()
                return
            self.reason = self._read_reason()
            self.deaths += 1
            wait = 0 if loop.time() - started > HEALTHY_S else wait
            if self.is_up:  # before that, require_alive reports why the service does not start
                why = {"reason": self.reason} if self.reason else {}
                log.error("child_died", child=self.name, code=code, restart_in_s=RESTART_S[wait], **why)
            await asyncio.sleep(RESTART_S[wait])
            wait = min(wait + 1, len(RESTART_S) - 1)
            if self._stopping:
                return
            self._process = await self._spawn()

    async def _spawn(self) -> asyncio.subprocess.Process:
        argv, inherited = list(self._command.argv), list(self._command.inherited)
        writing: int | None = None
        if self._command.gives_reason:
            self._reason_fd, writing = os.pipe()
            os.set_blocking(self._reason_fd, False)
            argv += ["--reason-fd", str(writing)]
            inherited.append(writing)
        try:
            return await asyncio.create_subprocess_exec(
                *argv,
                env={**os.environ, **self._command.environment},
                pass_fds=inherited,
                stdin=asyncio.subprocess.DEVNULL,
                # A Ctrl-C in the terminal is for the parent, which stops its children in order.
                start_new_session=True,
                preexec_fn=partial(die_with_parent, signal.SIGTERM),
            )
        finally:
            if writing is not None:
                os.close(writing)

    def _read_reason(self) -> str:
        """Return the line that the process wrote before it ended, or ""."""
        if self._reason_fd is None:
            return ""
        reading, self._reason_fd = self._reason_fd, None
        try:
            return os.read(reading, REASON_BYTES).decode(errors="replace").strip()
        except BlockingIOError:  # a grandchild holds the other end
            return ""
        finally:
            os.close(reading)


class Children:
    """Commands that run together. Leaving the asynchronous context stops them in reverse order of their start, those
    that were started together at the same time.
    """

    def __init__(self) -> None:
        self._groups: list[list[Child]] = []

    @property
    def _children(self) -> list[Child]:
        return [child for group in self._groups for child in group]

    async def start(self, *commands: Command) -> None:
        """Start one command, or several that stop at the same time."""
        group = [Child(command) for command in commands]
        self._groups.append(group)
        for child in group:
            await child.start()

    def require_alive(self) -> None:
        """Raise OperatorError if a child has ended, which during start-up means that it cannot start."""
        for child in self._children:
            if child.deaths:
                why = f": {child.reason}" if child.reason else "; what it said stands above or in its log"
                raise OperatorError(f"the {child.name} cannot start{why}")

    def mark_up(self) -> None:
        """Log it from now on when a child ends: all have started."""
        for child in self._children:
            child.is_up = True

    def kill(self) -> None:
        """Send SIGKILL to all children."""
        for child in self._children:
            child.signal(signal.SIGKILL)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for group in reversed(self._groups):
            await asyncio.gather(*(child.stop() for child in group))


def stop_on_signals(children: Children) -> asyncio.Event:
    """Return an event that the first SIGINT or SIGTERM sets; the next one kills the children."""
    stop = asyncio.Event()

    def on_signal() -> None:
        if stop.is_set():
            children.kill()
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, on_signal)
    return stop
