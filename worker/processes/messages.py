"""Messages between a worker and its vision processes: a kind, a JSON object and bytes, over a Unix socket.

Nothing is pickled: what a vision process sends may come from a decoder that an image has taken over.
"""

import json
import socket
import struct
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from worker.receiving import receive_into

MAX_FIELDS_BYTES: Final = 1 << 22
"""Longest JSON: 100 bytes for each of the stages of 4,096 faces, many more than an image can show."""

MAX_DATA_BYTES: Final = 1 << 28
"""Most bytes beside it: an image that a caller may send takes 2 MiB, and 4,096 embeddings of 512 numbers 8 MiB."""

_AHEAD: Final = 1 << 16
"""Bytes that are received at once: an answer, or a photo of up to a megapixel, in one system call."""

_JOINED: Final = 1 << 16
"""Most bytes of data that are copied behind the JSON, for one system call in place of two."""

_HEAD: Final = struct.Struct("!II")


class Message(NamedTuple):
    """kind: what it is. fields: its JSON. data: bytes beside it, without a copy in text."""

    kind: str
    fields: Mapping[str, Any]
    data: bytes


class MessageError(Exception):
    """What came is no message: the process at the other end does not work as it should."""


class MessageSocket:
    """One end of a connection. To be used by one thread at a time."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._ahead = b""

    def send(self, kind: str, data: bytes = b"", **fields: Any) -> None:
        """Send a message. Raises OSError when the other end is closed."""
        text = json.dumps([kind, fields], separators=(",", ":")).encode()
        head = _HEAD.pack(len(text), len(data)) + text
        if len(data) <= _JOINED:
            self._connection.sendall(head + data)
        else:
            self._connection.sendall(head)
            self._connection.sendall(data)

    def receive(self) -> Message:
        """Return the next message. Raises EOFError when the other end is closed, and MessageError."""
        text_bytes, data_bytes = _HEAD.unpack(self._exactly(_HEAD.size))
        if text_bytes > MAX_FIELDS_BYTES or data_bytes > MAX_DATA_BYTES:
            raise MessageError("a message is too long")
        text, data = self._exactly(text_bytes), self._exactly(data_bytes)
        try:
            parts = json.loads(text)
        except (ValueError, RecursionError):
            raise MessageError("a message is no JSON") from None
        match parts:
            case [str(kind), dict(fields)]:
                return Message(kind, fields, data)
        raise MessageError("a message has no kind or no fields")

    def close(self) -> None:
        self._connection.close()

    def _exactly(self, size: int) -> bytes:
        """Return that many bytes. Most messages take one system call: what came with them is kept for the next part."""
        while len(self._ahead) < size:
            missing = size - len(self._ahead)
            self._ahead += self._received(_AHEAD) if missing < _AHEAD else self._filled(missing)
        part, self._ahead = self._ahead[:size], self._ahead[size:]
        return part

    def _filled(self, size: int) -> bytes:
        """Return that many bytes of a large message, without joining pieces."""
        buffer = bytearray(size)
        if not receive_into(self._connection, buffer):
            raise EOFError("the other end is closed")
        return bytes(buffer)

    def _received(self, most: int) -> bytes:
        try:
            received = self._connection.recv(most)
        except ConnectionResetError:
            received = b""
        if not received:
            raise EOFError("the other end is closed")
        return received
