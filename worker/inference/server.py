"""The inference process's side of its connections: requests in, answers out."""

import socket
import struct
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

import structlog

from shared.errors import Unavailable
from worker.inference.batches import Answered, Batches
from worker.inference.wire import Kind, Model, Receiver, Request, WireError, send_error, send_output
from worker.vision.session import Tensor

log = structlog.stdlib.get_logger(__name__)

_SEND_S: Final = 5
"""Longest time in seconds to send an answer: a caller waits for it, and one that is stopped must not stop others."""


class Connections:
    """Serves connections, a thread each: it waits for requests, and other threads send the answers."""

    def __init__(self, models: Mapping[Model, Batches]) -> None:
        self._models = models

    def add(self, connection: socket.socket) -> None:
        """Serve a connection until its other end is closed. Closes it."""
        # As SO_RCVTIMEO would, a timeout of Python's would end the wait for requests, too.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", _SEND_S, 0))
        threading.Thread(target=self._serve, args=[connection], daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        receiver, sending = Receiver(connection), threading.Lock()

        def answered(output: Tensor | Exception, rows: int) -> None:
            with sending, suppress(OSError):  # the caller has gone
                if isinstance(output, Exception):
                    send_error(connection, output)
                else:
                    send_output(connection, output, rows)

        with connection:
            try:
                while (request := receiver.request()) is not None:
                    self._take(request, id(connection), answered)
            except WireError as error:
                log.error("request_malformed", reason=str(error))  # noqa: TRY400 -- the reason is enough
            except OSError:
                pass
            finally:
                for batches in self._models.values():
                    batches.withdraw(id(connection))

    def _take(self, request: Request, caller: int, answered: Answered) -> None:
        batches = self._models.get(request.model)
        if batches is None:
            raise WireError(f"a request for {request.model.name}, which is not loaded")
        if request.kind is Kind.ANNOUNCE:
            batches.announce(caller)
        elif request.kind is Kind.WITHDRAW:
            batches.withdraw(caller)
        elif request.images is not None:
            try:
                batches.put(caller, request.images, answered)
            except Unavailable as error:
                answered(error, 0)
