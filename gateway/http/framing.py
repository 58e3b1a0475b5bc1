"""A bound on how much of a chunked body may be framing."""

from typing import Final

from aiohttp import ClientError, StreamReader, web
from aiohttp.http_exceptions import HttpProcessingError

BODY_BROKEN: Final = (web.RequestPayloadError, HttpProcessingError, ClientError, ConnectionError, RuntimeError)
"""Exceptions of reading a body when no more of it will come. RuntimeError: aiohttp's when the connection was closed
before the first read."""

SPARE_BYTES: Final = 64 * 1024
"""Framing that any body may have: 10,000 chunks of a byte, so that small bodies may be chunked in any way."""

BODY_PER_FRAMING: Final = 8
"""Beyond that, framing may be an eighth of a body: chunks of 48 bytes on average. Lines of 76 characters pass. A body
of many chunks costs seconds, since parsing a chunk costs as much as parsing kilobytes."""


class Framing:
    """Counts the bytes received for one body after another."""

    def __init__(self) -> None:
        self._body: StreamReader | None = None
        self._received = 0

    def receive(self, body: StreamReader | None, size: int) -> None:
        """Count a piece of `size` bytes. body: the body that it belongs to and that does not end in it, None if there
        is none. The part of a body that arrives together with its headers is not counted.
        """
        if body is self._body:
            self._received += size
        else:
            self._body = body
            self._received = 0 if body is None else body.total_bytes

    @property
    def is_excessive(self) -> bool:
        """Whether the body has too much framing. Everything received must have been parsed."""
        parsed = 0 if self._body is None else self._body.total_bytes
        return self._received - parsed > SPARE_BYTES + parsed // BODY_PER_FRAMING
