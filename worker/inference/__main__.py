"""The inference process: loads the models onto the GPU and runs them for every process that has a connection.

    python -m worker.inference FD PARENT

FD: descriptor of a socket to the process that starts it, which sends a plan first and then a connection for each vision
process. PARENT: its process id; without it the inference process ends.
"""

import signal
import socket
import sys

from shared.errors import OperatorError
from shared.host.parent import ends_with
from worker.inference.plan import Openers, Plan, onnx_sessions, open_models
from worker.inference.process import CONNECTION, LONGEST_PLAN, READY
from worker.inference.server import Connections


def main(control: socket.socket, parent: int, openers: Openers = onnx_sessions) -> None:
    """Serve until the other end of `control` is closed or the parent ends. openers: what opens the sessions."""
    if not ends_with(parent):
        return
    # A worker that is told to end finishes its jobs first, and needs the models for them.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    try:
        models = open_models(Plan.parse(control.recv(LONGEST_PLAN).decode()), openers)
    except OperatorError as error:
        control.send(str(error).encode())
        return
    connections = Connections(models)
    control.send(READY)
    while True:
        received, descriptors, _, _ = socket.recv_fds(control, 1, 1)
        if received != CONNECTION:
            break
        connections.add(socket.socket(fileno=descriptors[0]))
    for batches in models.values():
        batches.close()


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2]))
