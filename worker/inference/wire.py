"""What vision processes and the inference process send each other: fixed heads, and images or outputs as they lie in
memory.

A vision process may be taken over by an image, so that the inference process trusts no number that comes from it.
"""

import socket
import struct
from enum import IntEnum
from typing import Final, NamedTuple

import numpy as np

from worker.receiving import receive_into
from worker.vision.session import Images, Tensor

MAX_ROWS: Final = 64
"""Most images of one request: four times what a job passes at once."""

MAX_SIDE: Final = 2048
"""Longest side of an image in pixels: twice that of the largest detection pass and of the largest crop of an
embedder."""

MAX_TEXT: Final = 300
"""Most characters of an error."""

# Kind, model, and rows, height and width of the images that follow.
_REQUEST: Final = struct.Struct("!BBHHH")

# Whether it is an error, number of axes, rows of the inference, and sizes of the axes of the output that follows.
_ANSWER: Final = struct.Struct("!BBHIII")
_AXES: Final = 3


class Kind(IntEnum):
    """RUN: images follow, which get an answer. ANNOUNCE: images are about to come. WITHDRAW: they are not."""

    RUN = 1
    ANNOUNCE = 2
    WITHDRAW = 3


class Model(IntEnum):
    """Which model a request is for. A process that has no second embedder refuses requests for one."""

    DETECTOR = 0
    EMBEDDER = 1
    SECOND_EMBEDDER = 2


class Request(NamedTuple):
    """images: None unless its kind is RUN."""

    kind: Kind
    model: Model
    images: Images | None


class Answer(NamedTuple):
    """output: of the request's images. rows: of the inference that made it, if this answer is the first one of it; else
    0.
    """

    output: Tensor
    rows: int


class InferenceError(Exception):
    """The model failed on these images."""


class WireError(Exception):
    """What came is no message: the process at the other end does not work as it should."""


class Receiver:
    """Reads requests from a connection, into a buffer that it uses again: images are valid until the next request."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._buffer = bytearray()

    def request(self) -> Request | None:
        """Return the next request; None when the other end is closed. Raises WireError."""
        head = bytearray(_REQUEST.size)
        if not receive_into(self._connection, head):
            return None
        kind, model, rows, height, width = _REQUEST.unpack(head)
        try:
            kind, model = Kind(kind), Model(model)
        except ValueError:
            raise WireError("a request of no known kind") from None
        if kind is not Kind.RUN:
            return Request(kind, model, None)
        if not (1 <= rows <= MAX_ROWS and 1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE):
            raise WireError(f"{rows} images of {height} x {width} pixels")
        size = rows * height * width * 3
        if len(self._buffer) < size:
            self._buffer = bytearray(size)
        if not receive_into(self._connection, memoryview(self._buffer)[:size]):
            return None
        images = np.frombuffer(self._buffer, np.uint8, size).reshape(rows, height, width, 3)
        return Request(kind, model, images)


def send_request(connection: socket.socket, kind: Kind, model: Model, images: Images | None = None) -> None:
    """Send a request. Raises OSError when the other end is closed, and ValueError for too many or too large images."""
    if images is None:
        connection.sendall(_REQUEST.pack(kind, model, 0, 0, 0))
        return
    rows, height, width, _ = images.shape
    if not (1 <= rows <= MAX_ROWS and max(height, width) <= MAX_SIDE):
        raise ValueError(f"{rows} images of {height} x {width} pixels; at most {MAX_ROWS} of {MAX_SIDE}")
    connection.sendall(_REQUEST.pack(kind, model, rows, height, width))
    connection.sendall(np.ascontiguousarray(images).data.cast("B"))


def send_output(connection: socket.socket, output: Tensor, rows: int) -> None:
    """Send an output, of 1 to 3 axes. rows: as in Answer. Raises OSError when the other end is closed."""
    axes = [*output.shape, *[0] * (_AXES - output.ndim)]
    head = _ANSWER.pack(0, output.ndim, rows, *axes)
    connection.sendall(head + np.ascontiguousarray(output, np.float32).tobytes())


def send_error(connection: socket.socket, error: Exception) -> None:
    """Send an error in place of an output."""
    text = " ".join(str(error).split())[:MAX_TEXT].encode()
    connection.sendall(_ANSWER.pack(1, 1, 0, len(text), 0, 0) + text)


def receive_answer(connection: socket.socket) -> Answer:
    """Return the answer to a request. Raises InferenceError if it is an error, and EOFError when the other end is
    closed.
    """
    head = bytearray(_ANSWER.size)
    _receive_answer_into(connection, head)
    failed, count, rows, *axes = _ANSWER.unpack(head)
    if failed:
        text = bytearray(axes[0])
        _receive_answer_into(connection, text)
        raise InferenceError(text.decode(errors="replace"))
    output = np.empty(axes[:count], np.float32)
    if output.size:
        _receive_answer_into(connection, output.data.cast("B"))
    return Answer(output, rows)


def _receive_answer_into(connection: socket.socket, buffer: bytearray | memoryview) -> None:
    if not receive_into(connection, buffer):
        raise EOFError("the inference process has gone")
