"""The fork server: loads the models once and forks vision processes, for the worker that started it.

    python -m worker.processes.fork_server FD PARENT

A fork takes milliseconds, and all vision processes share the memory of the models and libraries. This process has one
thread, without which no fork is safe, and does nothing else. FD: descriptor of a socket to the worker. PARENT: process
id of the worker, without which it ends.
"""

import gc
import os
import pickle
import select
import signal
import socket
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from shared.errors import OperatorError
from shared.host.parent import die_with_parent
from worker.models.catalog import Embedder
from worker.processes.confinement import confine
from worker.processes.messages import MessageSocket
from worker.processes.vision_process import serve
from worker.vision.arcface import ArcFace
from worker.vision.service import FaceService, Memory, Observer
from worker.vision.session import open_session
from worker.vision.warm_up import warm_up
from worker.vision.yunet import YuNet

FORK: Final = b"f"
"""What comes with the descriptor of a connection, for which a vision process is to be forked."""


@dataclass(frozen=True)
class Vision:
    """What a fork server loads. detector, embedder: prepared graphs. model: the embedder's entry. least_score,
    max_pixels: as FaceService takes them. cpu_s: most seconds of computing for one image.
    """

    detector: Path
    embedder: Path
    model: Embedder
    least_score: float
    max_pixels: int
    cpu_s: float


class _Loaded:
    """The models, loaded."""

    def __init__(self, vision: Vision) -> None:
        self._vision = vision
        self._detect = open_session(vision.detector)

        self._arcface = ArcFace(open_session(vision.embedder), vision.model)

    def service(self, observer: Observer | None, memory: Memory | None) -> FaceService:
        yunet, vision = YuNet(self._detect), self._vision
        return FaceService(yunet, self._arcface, observer, vision.least_score, memory, vision.max_pixels)

    def warm_up(self) -> None:
        warm_up(self.service(None, None), self._arcface)


def main(fd: int, parent: int) -> None:
    die_with_parent(signal.SIGKILL)
    if os.getppid() != parent:
        return
    # A worker that is told to end finishes its jobs first, and needs its vision processes for them.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    control = socket.socket(fileno=fd)
    messages = MessageSocket(control)
    vision: Vision = pickle.loads(messages.receive().data)  # noqa: S301 -- from the worker that started this process
    try:
        loaded = _Loaded(vision)
    except OperatorError as error:
        messages.send("failed", reason=str(error))
        return
    loaded.warm_up()
    gc.collect()
    gc.freeze()  # a collection would copy the pages that the vision processes share
    with suppress(OSError):  # the worker has gone
        messages.send("ready")
        _Forks(control, loaded, vision).run()


class _Forks:
    """The vision processes of a fork server."""

    def __init__(self, control: socket.socket, loaded: _Loaded, vision: Vision) -> None:
        self._control = control
        self._messages = MessageSocket(control)
        self._loaded = loaded
        self._vision = vision
        self._woken, self._waking = socket.socketpair()
        for end in (self._woken, self._waking):
            end.setblocking(False)

    def run(self) -> None:
        """Fork as the worker asks, and tell it of each process that ended, until it closes the socket."""
        signal.set_wakeup_fd(self._waking.fileno())
        signal.signal(signal.SIGCHLD, lambda *_: None)
        while True:
            readable, _, _ = select.select([self._control, self._woken], [], [])
            if self._woken in readable:
                self._woken.recv(4096)
                self._reap()
            if self._control in readable:
                received, descriptors, _, _ = socket.recv_fds(self._control, 1, 1)
                if received != FORK:
                    return
                self._fork(descriptors[0])

    def _reap(self) -> None:
        with suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG)) != (0, 0):
                pid, status = ended
                self._messages.send("ended", pid=pid, code=os.waitstatus_to_exitcode(status))

    def _fork(self, descriptor: int) -> None:
        server = os.getpid()
        pid = os.fork()
        if pid:
            os.close(descriptor)
            self._messages.send("forked", pid=pid)
            return
        code = 1
        try:
            self._become_vision_process(descriptor, server)
            code = 0
        except (EOFError, OSError):
            pass  # the worker has gone
        finally:
            os._exit(code)

    def _become_vision_process(self, descriptor: int, server: int) -> None:
        die_with_parent(signal.SIGKILL)
        if os.getppid() != server:
            return
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for inherited in (self._control, self._woken, self._waking):
            inherited.close()
        connection = MessageSocket(socket.socket(fileno=descriptor))
        confine(self._vision.max_pixels)
        serve(connection, self._loaded.service, self._vision.cpu_s)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
