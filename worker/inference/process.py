"""Starting an inference process, and connecting to it."""

import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from shared.errors import OperatorError
from worker.inference.plan import Plan

READY: Final = b"ready"
"""What an inference process says when its models have run; anything else is the reason why they have not."""

CONNECTION: Final = b"c"
"""What comes with the descriptor of a connection."""

LONGEST_PLAN: Final = 65_536

START_S: Final = 180.0
"""Longest time in seconds in which the models must have run: each of some seventy sessions records its CUDA graph."""

STOP_S: Final = 5.0
"""Longest time in seconds in which an inference process must end once it is told to."""

COMMAND: Final = (sys.executable, "-m", "worker.inference")


class InferenceProcess:
    """An inference process that this process started. It ends with this one."""

    def __init__(self, plan: Plan, command: Sequence[str] = COMMAND) -> None:
        """Return once its models have run. command: what starts it, without its arguments.

        Raises OperatorError if the device is missing or cannot run them, or the process ends or takes too long.
        """
        # Whole messages, so that a plan is read at once.
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 -- our own
                [*command, str(theirs.fileno()), str(os.getpid())], pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL
            )
        self._control.settimeout(START_S)
        try:
            self._control.send(plan.text().encode())
            said = self._control.recv(LONGEST_PLAN)
        except OSError:
            said = b""
        self._control.settimeout(None)
        if said != READY:
            self.kill()
            raise OperatorError(said.decode() or f"the inference process did not start within {START_S:.0f} s")

    @property
    def pid(self) -> int:
        return self._process.pid

    def forget(self) -> None:
        """Close this process's end, which a fork has, too: its parent keeps the inference process."""
        self._control.close()

    def connect(self) -> socket.socket:
        """Return a new connection to it, for one user. Raises OSError when it has ended."""
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                socket.send_fds(self._control, [CONNECTION], [theirs.fileno()])
            except OSError:
                ours.close()
                raise
        return ours

    def close(self) -> None:
        """End it, once what it was asked is answered."""
        self._control.close()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End it at once."""
        self._control.close()
        with suppress(ProcessLookupError):
            self._process.kill()
        self._process.wait()
