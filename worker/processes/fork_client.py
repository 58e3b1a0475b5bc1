"""A worker's end of its fork server."""

import os
import pickle
import socket
import subprocess
import sys
from collections import deque
from contextlib import suppress
from typing import Final

from shared.errors import OperatorError
from worker.inference.process import START_S as INFERENCE_START_S
from worker.processes.fork_server import FORK
from worker.processes.messages import Message, MessageError, MessageSocket
from worker.processes.models import Vision

START_S: Final = 60.0
"""Longest time in which the models must be loaded: that takes a second, and longer on a machine that does much else."""

STOP_S: Final = 5.0
"""Longest time in which a fork server must end. It has nothing to finish."""

# What a fork server gets of the environment, by the beginnings of names: nothing with a key, a password or an address.
# The last ones are of libraries that choose their code by the processor: an operator names another where theirs fails.
_ENVIRONMENT: Final = (
    *("PATH", "LANG", "LC_", "LD_", "PYTHON", "COVERAGE_", "MALLOC_", "TZ", "CUDA_", "NVIDIA_"),
    *("OPENBLAS_", "MKL_", "OMP_", "NPY_", "OPENCV_"),
)

# One image keeps one core busy: libraries that start threads of their own would make a fork unsafe, and gain nothing.
_ONE_THREAD: Final = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


class ForkServer:
    """A running fork server. `fork` may be called from any thread, `receive` from one."""

    def __init__(self, vision: Vision) -> None:
        """Start it, and return once its models are loaded. Raises OperatorError when they cannot be."""
        ours, theirs = socket.socketpair()
        environment = {name: value for name, value in os.environ.items() if name.startswith(_ENVIRONMENT)}
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 -- our own
                [sys.executable, "-m", "worker.processes.fork_server", str(theirs.fileno()), str(os.getpid())],
                env=environment | _ONE_THREAD,
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
        self._control = ours
        self._messages = MessageSocket(ours)
        self._waiting: deque[socket.socket] = deque()
        try:
            self._open(vision)
        except BaseException:
            self.close()
            raise

    def _open(self, vision: Vision) -> None:
        wait_s = START_S + (INFERENCE_START_S if vision.plan else 0)
        self._control.settimeout(wait_s)
        try:
            self._messages.send("open", pickle.dumps(vision))
            answer = self._messages.receive()
        except TimeoutError:
            raise OperatorError(f"the models are not loaded after {wait_s:.0f} s: the machine is too busy") from None
        except (EOFError, OSError, MessageError):
            raise OperatorError(
                f"the process that loads the models ended with status {self._process.wait()}; its output says why"
            ) from None
        if answer.kind != "ready":
            raise OperatorError(str(answer.fields.get("reason")))
        self._control.settimeout(None)

    def fork(self) -> None:
        """Ask for a vision process: the message `forked` follows. Nothing happens when the server has ended."""
        ours, theirs = socket.socketpair()
        self._waiting.append(ours)
        with theirs, suppress(OSError):
            socket.send_fds(self._control, [FORK], [theirs.fileno()])

    def forked(self) -> socket.socket:
        """Return the connection to the process of the oldest message `forked`; once for each."""
        return self._waiting.popleft()

    def receive(self) -> Message:
        """Return the next message: `forked` with a process id, `ended` with the code, too, or `inference_ended` with a
        code. Raises EOFError when the server has ended, and MessageError.
        """
        return self._messages.receive()

    def stop(self) -> None:
        """End the server and its vision processes, and return when it has ended. `receive` then raises EOFError."""
        with suppress(OSError):
            self._control.shutdown(socket.SHUT_RDWR)
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def close(self) -> None:
        """Stop the server and close its connections. Nothing else may be called afterwards."""
        self.stop()
        self._control.close()
        for connection in self._waiting:
            connection.close()
