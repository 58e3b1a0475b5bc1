"""Child processes that are kept alive, and that never outlive their parent."""

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
"""Waits before one restart after another; the last one repeats."""

REASON_BYTES: Final = 65536
"""Most of a reason that is read: what a pipe holds, so that no child waits for its reader."""

HEALTHY_S: Final = 30.0
"""A child that lived this long starts again with the shortest wait."""


@dataclass(frozen=True)
class Command:
    """What to run. grace_s: seconds between SIGTERM and SIGKILL. gives_reason: whether it takes --reason-fd, the file
    descriptor to which it writes, in one line, why it cannot start.
    """

    name: str
    argv: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    inherited: Sequence[int] = ()
    grace_s: float = 10.0
    gives_reason: bool = False


class Child:
    """One command, running until it is stopped."""

    def __init__(self, command: Command) -> None:
        self._command = command
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = False
        self._keeping: asyncio.Task[None] | None = None
        self._reason_fd: int | None = None
        self.deaths = 0
        self.reason = ""
        self.is_up = False

    @property
    def name(self) -> str:
        return self._command.name

    async def start(self) -> None:
        """Start it, and again whenever it ends by itself."""
        self._process = await self._spawn()
        self._keeping = asyncio.create_task(self._keep())

    async def stop(self) -> None:
        """SIGTERM, then SIGKILL after the grace; returns when it is gone."""
        self._stopping = True
        if self._process is None or self._keeping is None:
            return
        self.signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(asyncio.shield(self._keeping), self._command.grace_s)
        except TimeoutError:
            log.warning("child_killed", child=self.name, after_s=self._command.grace_s)
            self.signal(signal.SIGKILL)
            await self._keeping

    def signal(self, number: int) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def _keep(self) -> None:
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
            if self.is_up:  # before, whoever waits for it says why nothing starts
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
        """What it wrote before it ended, "" for nothing."""
        if self._reason_fd is None:
            return ""
        reading, self._reason_fd = self._reason_fd, None
        try:
            return os.read(reading, REASON_BYTES).decode(errors="replace").strip()
        except BlockingIOError:  # a child of its own holds the other end
            return ""
        finally:
            os.close(reading)


class Children:
    """Commands that run together: as an asynchronous context it stops them all, the last started first."""

    def __init__(self) -> None:
        self._children: list[Child] = []

    async def start(self, command: Command) -> None:
        child = Child(command)
        self._children.append(child)
        await child.start()

    def require_alive(self) -> None:
        """Raises OperatorError when one has ended by itself: at start that means it cannot start."""
        for child in self._children:
            if child.deaths:
                why = f": {child.reason}" if child.reason else "; what it said stands above or in its log"
                raise OperatorError(f"the {child.name} cannot start{why}")

    def are_up(self) -> None:
        """Everything has started: from now on it is news when one ends."""
        for child in self._children:
            child.is_up = True

    def kill(self) -> None:
        """End them all at once."""
        for child in self._children:
            child.signal(signal.SIGKILL)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for child in reversed(self._children):
            await child.stop()
