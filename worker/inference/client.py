"""A vision process's side of its connection to the inference process."""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from worker.inference.wire import Kind, Model, receive_answer, send_request
from worker.vision.session import Images, Tensor


class InferenceGoneError(Exception):
    """The inference process has ended, or has closed the connection."""


class RemoteSession:
    """A Session whose model runs in the inference process. To be used by one thread at a time, as its connection."""

    def __init__(self, connection: socket.socket, model: Model, called: Callable[[int], None] = lambda _: None) -> None:
        """called: called with the rows of each inference, by one of the callers that shared it."""
        self._connection = connection
        self._model = model
        self._called = called

    def run(self, images: Images) -> dict[str, Tensor]:
        """Return the output. images: 1 to wire.MAX_ROWS.

        Raises InferenceError if the model failed on them, and InferenceGoneError.
        """
        with _there():
            send_request(self._connection, Kind.RUN, self._model, images)
            output, rows = receive_answer(self._connection)
        if rows:
            self._called(rows)
        return {"output": output}

    def announce(self) -> None:
        """Announce that run is about to be called. Raises InferenceGoneError."""
        with _there():
            send_request(self._connection, Kind.ANNOUNCE, self._model)

    def withdraw(self) -> None:
        """Withdraw the announcement. Raises InferenceGoneError."""
        with _there():
            send_request(self._connection, Kind.WITHDRAW, self._model)


@contextmanager
def _there() -> Iterator[None]:
    try:
        yield
    except (EOFError, OSError) as error:
        raise InferenceGoneError("the inference process has gone") from error
