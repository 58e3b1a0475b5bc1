"""Child processes, restarted when they end or hang, and never left running after their parent.

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


BEAT_S: Final = 1.0
"""Seconds between two beats of a child, and between two looks for them."""

HUNG_LOOKS: Final = 30
"""Looks, one after the other, without a beat, after which a child hangs: half a minute, far more than a busy machine or
a collection of garbage takes. They are counted and not timed, so that a machine or container that was paused as a whole
is not mistaken for it."""


@dataclass(frozen=True)
class Command:
    """A program to run. environment: added to that of this process. inherited: file descriptors that the child keeps.
    grace_s: seconds between SIGTERM and SIGKILL. gives_reason: whether the program takes --reason-fd, a file descriptor
    to which it writes one line if it cannot start. beats: whether it takes --beat-fd, to which it writes with `beat`.
    """

    name: str
    argv: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    inherited: Sequence[int] = ()
    grace_s: float = 10.0
    gives_reason: bool = False
    beats: bool = False


class Child:
    """One command and the process that runs it."""

    def __init__(self, command: Command) -> None:
        self._command = command
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = False
        self._supervision: asyncio.Task[None] | None = None
        self._reason_fd: int | None = None
        self._beat_fd: int | None = None
        self.deaths = 0
        self.reason = ""
        self.is_up = False

    @property
    def name(self) -> str:
        return self._command.name

    async def start(self) -> None:
        """Start the process, and restart it whenever it ends by itself or is killed because it hangs."""
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
            code = await self._ended(self._process)
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

    async def _ended(self, process: asyncio.subprocess.Process) -> int:
        """Wait until the process has ended, and return its exit status. One that beats and then hangs is killed."""
        watch = asyncio.create_task(self._kill_when_hung())
        try:
            return await process.wait()
        finally:
            watch.cancel()
            if self._beat_fd is not None:
                os.close(self._beat_fd)
                self._beat_fd = None

    async def _kill_when_hung(self) -> None:
        """Send SIGKILL once HUNG_LOOKS have found no beat. Before its first one the process starts."""
        looks: int | None = None
        while self._beat_fd is not None:
            await asyncio.sleep(BEAT_S)
            if _read_all(self._beat_fd):
                looks = 0
            elif looks is not None:
                looks += 1
                if looks == HUNG_LOOKS and not self._stopping:
                    log.error("child_hung", child=self.name, for_s=HUNG_LOOKS * BEAT_S)
                    self.signal(signal.SIGKILL)

    async def _spawn(self) -> asyncio.subprocess.Process:
        argv, inherited = list(self._command.argv), list(self._command.inherited)
        writing = []

        def reading_end(option: str) -> int:
            ours, theirs = os.pipe()
            os.set_blocking(ours, False)
            argv.extend((option, str(theirs)))
            writing.append(theirs)
            return ours

        if self._command.gives_reason:
            self._reason_fd = reading_end("--reason-fd")
        if self._command.beats:
            self._beat_fd = reading_end("--beat-fd")
        try:
            return await asyncio.create_subprocess_exec(
                *argv,
                env={**os.environ, **self._command.environment},
                pass_fds=[*inherited, *writing],
                stdin=asyncio.subprocess.DEVNULL,
                # A Ctrl-C in the terminal is for the parent, which stops its children in order.
                start_new_session=True,
                preexec_fn=partial(die_with_parent, signal.SIGTERM),
            )
        finally:
            for descriptor in writing:
                os.close(descriptor)

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


def _read_all(descriptor: int) -> bytes:
    """Return what waits in a pipe, at most its capacity; empty if nothing does."""
    try:
        return os.read(descriptor, REASON_BYTES)
    except BlockingIOError:
        return b""


async def beat(descriptor: int) -> None:
    """Tell the parent, until cancelled, that the event loop turns. descriptor: that of --beat-fd."""
    os.set_blocking(descriptor, False)
    while True:
        with suppress(OSError):  # the parent has not read for hours, or is gone, which ends this process anyway
            os.write(descriptor, b".")
        await asyncio.sleep(BEAT_S)


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
