"""The fork server: loads the models once and forks vision processes, for the worker that started it.

    python -m worker.processes.fork_server FD PARENT

A fork takes milliseconds, and all vision processes share the memory of the models and libraries. This process has one
thread, without which no fork is safe, and does nothing else. FD: descriptor of a socket to the worker. PARENT: process
id of the worker, without which it ends.

With a GPU the models are in an inference process, which it starts, and to which each vision process has a connection.
When that process ends, the fork server ends with all vision processes, and the worker starts everything anew.
"""

import gc
import os
import pickle
import select
import signal
import socket
import sys
import time
from contextlib import suppress
from typing import Final

from shared.errors import OperatorError
from shared.host.parent import ends_with
from worker.inference.client import InferenceGoneError
from worker.processes.confinement import confine
from worker.processes.messages import MessageSocket
from worker.processes.models import Link, Models, Vision, open_models
from worker.processes.vision_process import serve

FORK: Final = b"f"
"""What comes with the descriptor of a connection, for which a vision process is to be forked."""

GONE_S: Final = 5.0
"""Longest time in seconds in which the fork server learns that the inference process has ended: its GPU's memory is
given back meanwhile."""


def main(fd: int, parent: int) -> None:
    if not ends_with(parent):
        return
    # A worker that is told to end finishes its jobs first, and needs its vision processes for them.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    control = socket.socket(fileno=fd)
    messages = MessageSocket(control)
    vision: Vision = pickle.loads(messages.receive().data)  # noqa: S301 -- from the worker that started this process
    try:
        models = open_models(vision)
    except OperatorError as error:
        messages.send("failed", reason=str(error))
        return
    gc.collect()
    gc.freeze()  # a collection would copy the pages that the vision processes share
    with suppress(OSError):  # the worker has gone
        messages.send("ready")
        _Forks(control, models, vision).run()
    signal.set_wakeup_fd(-1)
    models.close()


class _Forks:
    """The vision processes of a fork server."""

    def __init__(self, control: socket.socket, models: Models, vision: Vision) -> None:
        self._control = control
        self._messages = MessageSocket(control)
        self._models = models
        self._vision = vision
        self._woken, self._waking = socket.socketpair()
        for end in (self._woken, self._waking):
            end.setblocking(False)

    def run(self) -> None:
        """Fork as the worker asks, and tell it of each process that ended, until it closes the socket or the inference
        process ends.
        """
        signal.set_wakeup_fd(self._waking.fileno())
        signal.signal(signal.SIGCHLD, lambda *_: None)
        while True:
            readable, _, _ = select.select([self._control, self._woken], [], [])
            if self._woken in readable:
                self._woken.recv(4096)
                if not self._reap():
                    return
            if self._control in readable:
                received, descriptors, _, _ = socket.recv_fds(self._control, 1, 1)
                if received != FORK:
                    return
                self._fork(descriptors[0])

    def _reap(self) -> bool:
        """Tell of the processes that ended, and return whether the models are still there."""
        with suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG)) != (0, 0):
                pid, status = ended
                code = os.waitstatus_to_exitcode(status)
                if pid == self._models.pid:
                    self._messages.send("inference_ended", code=code)
                    return False
                self._messages.send("ended", pid=pid, code=code)
        return True

    def _fork(self, descriptor: int) -> None:
        try:
            link = self._models.link()
        except OSError:  # the inference process has gone, which _reap is about to be told
            os.close(descriptor)
            return
        server = os.getpid()
        pid = os.fork()
        if pid:
            os.close(descriptor)
            link.close()
            self._messages.send("forked", pid=pid)
            return
        code = 1
        try:
            self._become_vision_process(descriptor, link, server)
            code = 0
        except InferenceGoneError:
            # The fork server ends all vision processes when it learns of that; until then it must not look as if the
            # image was at fault. If only the connection was closed, it was.
            time.sleep(GONE_S)
        except (EOFError, OSError):
            pass  # the worker has gone
        finally:
            os._exit(code)

    def _become_vision_process(self, descriptor: int, link: Link, server: int) -> None:
        if not ends_with(server):
            return
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for inherited in (self._control, self._woken, self._waking):
            inherited.close()
        self._models.forget()
        connection = MessageSocket(socket.socket(fileno=descriptor))
        confine(self._vision.max_pixels)
        serve(connection, link.service, self._vision.cpu_s)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
