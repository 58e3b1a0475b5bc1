"""A minimal HTTP client with kept connections: a full one would take more of the shared cores than the gateway."""

import asyncio
import json
from pathlib import Path
from typing import Final, cast
from urllib.parse import quote, urlencode, urlsplit

import pybase64

from shared.calls import CALLS

TIMEOUT_S: Final = 60.0
"""Time-out of a request: far beyond any deadline of the service."""

TIMEOUT: Final = "TIMEOUT"
BROKEN: Final = "BROKEN"
"""Take the place of a status when there was no answer in time, or the connection ended before it."""


def form(call: str, photo: Path) -> bytes:
    """Return the body of a request of that call: the photo as each of its images, or its example where it has none."""
    row = next(each for each in CALLS if each.name == call)
    image = quote(pybase64.b64encode(photo.read_bytes()), safe="")
    return "&".join(f"{name}={image}" for name in row.image_parameters).encode() or urlencode(row.example).encode()


def request(address: str, key: str, call: str, body: bytes) -> bytes:
    """Return the bytes of an HTTP request."""
    head = (
        f"POST /v1/{call} HTTP/1.1\r\nHost: {urlsplit(address).netloc}\r\nX-API-Key: {key}\r\n"
        f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class Connections:
    """A pool of connections to one address: opened when none is free, and kept."""

    def __init__(self, address: str) -> None:
        url = urlsplit(address)
        self._host, self._port = url.hostname or "", url.port or 80
        self._free: list[_Connection] = []

    async def ask(self, message: bytes) -> str:
        """Return the contract status of the answer, or TIMEOUT or BROKEN."""
        try:
            async with asyncio.timeout(TIMEOUT_S):
                connection = await self._connection()
                try:
                    status = await connection.ask(message)
                except BaseException:
                    connection.close()
                    raise
        except TimeoutError:
            return TIMEOUT
        except OSError:
            return BROKEN
        if connection.is_open:
            self._free.append(connection)
        return status

    def close(self) -> None:
        for connection in self._free:
            connection.close()

    async def _connection(self) -> "_Connection":
        while self._free:
            connection = self._free.pop()
            if connection.is_open:
                return connection
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(_Connection, self._host, self._port)
        return connection


class _Connection(asyncio.Protocol):
    """A connection with one request at a time. asyncio's streams take twice the CPU."""

    def __init__(self) -> None:
        self.is_open = False
        self._received = b""
        self._status: asyncio.Future[str] | None = None

    def ask(self, message: bytes) -> "asyncio.Future[str]":
        """Send a request; the future has its status, or OSError if the connection ends before the answer."""
        self._received = b""
        self._status = asyncio.get_running_loop().create_future()
        self._transport.write(message)
        return self._status

    def close(self) -> None:
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are no subclass of it
        self.is_open = True

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False
        if self._status is not None and not self._status.done():
            self._status.set_exception(exc if isinstance(exc, OSError) else ConnectionResetError())

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        if not end or self._status is None or self._status.done():
            return
        head = head.lower()
        if len(body) >= int(head.split(b"content-length:")[1].split(b"\r\n")[0]):
            if b"connection: close" in head:
                self.is_open = False
                self._transport.close()
            self._status.set_result(str(json.loads(body)["status"]))
