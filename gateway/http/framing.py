"""How much of what comes for a body is the body, and how much its chunks."""

from typing import Final

from aiohttp import ClientError, StreamReader, web
from aiohttp.http_exceptions import HttpProcessingError

BODY_BROKEN: Final = (web.RequestPayloadError, HttpProcessingError, ClientError, ConnectionError, RuntimeError)
"""What reading a body raises when no more of it will come. RuntimeError is how aiohttp reports that the connection was
closed before the first read."""

SPARE_BYTES: Final = 64 * 1024
"""Framing that any body may have: 10,000 chunks of a byte, so that a small body may come as it likes."""

PART: Final = 8
"""Beyond that, framing is at most an eighth of a body: chunks of 48 bytes on average. Lines of 76 characters pass. A
body of many chunks costs seconds, since each of them costs as much as kilobytes do."""


class Framing:
    """Counts what comes for one body after another."""

    def __init__(self) -> None:
        self._body: StreamReader | None = None
        self._received = 0

    def receive(self, body: StreamReader | None, size: int) -> None:
        """A piece of so many bytes has come. body: the one that it is for and does not end in it; None: no such.
        What comes in one piece with the headers of a body counts for nothing.
        """
        if body is self._body:
            self._received += size
        else:
            self._body = body
            self._received = 0 if body is None else body.total_bytes

    @property
    def is_excessive(self) -> bool:
        """Whether hardly any of it is the body. All that has come must have been parsed."""
        taken = 0 if self._body is None else self._body.total_bytes
        return self._received - taken > SPARE_BYTES + taken // PART
