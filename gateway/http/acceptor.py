"""Taking connections from a listening socket: those that there is room for, and none is lost when descriptors run out.

Not the loop's own server, which takes all there are: uvloop's closes each without a word where there is no descriptor
for it, asyncio's tells nobody how to make room.
"""

import asyncio
import errno
import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import structlog

from gateway.http.answers import answer
from gateway.http.connection import Connection, as_bytes
from gateway.http.connections import LOG_EVERY_S, Connections
from gateway.http.headers import REQUEST_ID
from shared.contract import MESSAGES, Status
from shared.jobs import new_request_id

log = structlog.stdlib.get_logger(__name__)

AT_ONCE: Final = 16
"""Connections taken before the loop does something else. Those given up for them are closed only then, so that many
descriptors of the reserve may be in use meanwhile."""

BACKLOG: Final = 1024
"""Connections that may wait to be taken; Linux has 4,096 at most by default."""

PAUSE_S: Final = 0.1
"""Seconds until descriptors are looked for again. They wait in the backlog meanwhile, and nobody is reset."""

_GONE: Final = (BlockingIOError, InterruptedError, ConnectionError)
"""Nobody is there, or no more: as accept(2) says it."""

_REFUSED_BYTES: Final = 64 * 1024
"""Of what a refused caller has sent, so much is read: a socket that is closed with something unread resets its caller,
who may then not see the answer."""


class Acceptor:
    """Listens until it is closed. make: a connection for the next caller."""

    def __init__(self, listening: socket.socket, connections: Connections, make: Callable[[], Connection]) -> None:
        self._listening = listening
        self._connections = connections
        self._make = make
        self._loop = asyncio.get_running_loop()
        self._opening: set[asyncio.Task[None]] = set()
        self._resuming: asyncio.TimerHandle | None = None
        self._quiet_until = -LOG_EVERY_S
        listening.setblocking(False)
        listening.listen(BACKLOG)
        self._resume()

    def close(self) -> None:
        """Take no more; those that were taken stay."""
        if self._resuming is not None:
            self._resuming.cancel()
        self._loop.remove_reader(self._listening)
        self._listening.close()

    def _resume(self) -> None:
        self._resuming = None
        self._loop.add_reader(self._listening, self._accept)

    def _accept(self) -> None:
        for _ in range(AT_ONCE):
            try:
                sock, peer = self._listening.accept()
            except _GONE:
                return
            except OSError as error:
                self._pause(error)
                return
            group = self._connections.group(peer)
            if self._connections.make_room(group) is not None:
                _refuse(sock)
                continue
            connection = self._make()
            self._connections.add(connection, group)
            opening = self._loop.create_task(self._open(sock, connection))
            self._opening.add(opening)
            opening.add_done_callback(self._opening.discard)

    async def _open(self, sock: socket.socket, connection: Connection) -> None:
        try:
            sock.setblocking(False)
            await self._loop.connect_accepted_socket(lambda: connection, sock)
        except OSError:  # the caller is gone already
            self._connections.remove(connection)
            sock.close()

    def _pause(self, error: OSError) -> None:
        """Make room, and go on when there may be some. Connections that a caller has opened wait meanwhile."""
        self._loop.remove_reader(self._listening)
        self._resuming = self._loop.call_later(PAUSE_S, self._resume)
        self._connections.counts.paused.inc()
        given_up = self._connections.give_up(AT_ONCE)
        if time.monotonic() >= self._quiet_until:
            reason = errno.errorcode.get(error.errno or 0, "?")
            log.warning("accepting_paused", error=reason, what=os.strerror(error.errno or 0), given_up=given_up)
            self._quiet_until = time.monotonic() + LOG_EVERY_S


async def listen(host: str | None, port: int) -> list[socket.socket]:
    """A socket for each address that a name has. Raises OSError when one cannot be had."""
    found = await asyncio.get_running_loop().getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    sockets: list[socket.socket] = []
    try:
        for family, address in dict.fromkeys((family, address) for family, _, _, _, address in found):
            sockets.append(socket.create_server(address, family=family, backlog=BACKLOG))
    except BaseException:
        for sock in sockets:
            sock.close()
        raise
    return sockets


def _refuse(sock: socket.socket) -> None:
    """FAIL at once, for as far as it is read, and the end."""
    response = answer(Status.FAIL, MESSAGES[Status.FAIL])
    response.headers[REQUEST_ID] = new_request_id()
    with suppress(OSError), sock:
        sock.setblocking(False)
        sock.send(as_bytes(response))
        sock.shutdown(socket.SHUT_WR)
        sock.recv(_REFUSED_BYTES)
