"""Accepting connections from a listening socket as long as there is room, and losing none when descriptors run out.

The event loops' own servers accept without asking: uvloop's closes a connection silently when there is no descriptor
for it, and asyncio's gives no chance to make room.
"""

import asyncio
import errno
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import structlog

from gateway.http.answers import answer
from gateway.http.connection import Connection, serialize
from gateway.http.connections import Connections
from gateway.http.headers import REQUEST_ID
from gateway.http.listening import BACKLOG
from gateway.throttled_log import CONNECTIONS_EVERY_S, ThrottledLog
from shared.contract import MESSAGES, Status
from shared.jobs import new_request_id

log = structlog.stdlib.get_logger(__name__)

BATCH: Final = 16
"""Connections accepted before the loop does something else. Those dropped for them are closed only then, so that up to
this many of the reserved descriptors may be in use meanwhile."""

PAUSE_S: Final = 0.1
"""Seconds until the next attempt when descriptors have run out. Callers wait in the backlog meanwhile; none is
reset."""

YIELD_S: Final = 0.002
"""Seconds for which a process leaves a connection to those that have fewer: as long as a busy one takes to see it."""

YIELD_WHEN_FULL_S: Final = 0.1
"""The same for a process that could only refuse it."""

_GONE: Final = (BlockingIOError, InterruptedError, ConnectionError)
"""Errors by which accept(2) reports that no connection is waiting, or that its caller has left."""

_REFUSED_BYTES: Final = 64 * 1024
"""Most bytes read of what a refused caller has sent: closing a socket with unread bytes resets the connection, and the
caller may then not see the answer."""


class Acceptor:
    """Accepts connections from a listening socket until it is closed. make: returns the protocol of a connection."""

    def __init__(self, listening: socket.socket, connections: Connections, make: Callable[[], Connection]) -> None:
        self._listening = listening
        self._connections = connections
        self._make = make
        self._loop = asyncio.get_running_loop()
        self._opening: set[asyncio.Task[None]] = set()
        self._resuming: asyncio.TimerHandle | None = None
        self._log = ThrottledLog(log, CONNECTIONS_EVERY_S)
        listening.setblocking(False)
        listening.listen(BACKLOG)
        self._resume()

    def close(self) -> None:
        """Accept no more; connections that were accepted stay open."""
        if self._resuming is not None:
            self._resuming.cancel()
        self._loop.remove_reader(self._listening)
        self._listening.close()

    def _resume(self) -> None:
        self._resuming = None
        self._loop.add_reader(self._listening, self._accept)

    def _accept(self) -> None:
        for _ in range(BATCH):
            if self._connections.others_have_fewer():
                self._leave_to_others()
                return
            if not self._accept_one():
                return

    def _leave_to_others(self) -> None:
        """Take the next connection only after a while, and if it is still there: the others may hang."""
        wait_s = YIELD_WHEN_FULL_S if self._connections.would_refuse else YIELD_S
        self._loop.remove_reader(self._listening)
        self._resuming = self._loop.call_later(wait_s, self._resume_with_one)

    def _resume_with_one(self) -> None:
        self._resume()
        self._accept_one()

    def _accept_one(self) -> bool:
        """Accept a connection. Returns whether there may be another one."""
        try:
            sock, peer = self._listening.accept()
        except _GONE:
            return False
        except OSError as error:
            self._pause(error)
            return False
        group = self._connections.group(peer)
        if self._connections.make_room(group) is not None:
            _refuse(sock)
            return True
        connection = self._make()
        self._connections.add(connection, group)
        opening = self._loop.create_task(self._open(sock, connection))
        self._opening.add(opening)
        opening.add_done_callback(self._opening.discard)
        return True

    async def _open(self, sock: socket.socket, connection: Connection) -> None:
        try:
            sock.setblocking(False)
            await self._loop.connect_accepted_socket(lambda: connection, sock)
        except OSError:  # the caller has left already
            self._connections.remove(connection)
            sock.close()

    def _pause(self, error: OSError) -> None:
        """Drop idle connections, and accept again after PAUSE_S. New callers wait in the backlog meanwhile."""
        self._loop.remove_reader(self._listening)
        self._resuming = self._loop.call_later(PAUSE_S, self._resume)
        self._connections.counts.paused.inc()
        given_up = self._connections.drop_idle(BATCH)
        reason = errno.errorcode.get(error.errno or 0, "?")
        self._log.warn("accepting_paused", error=reason, what=os.strerror(error.errno or 0), given_up=given_up)


def _refuse(sock: socket.socket) -> None:
    """Answer FAIL at once, without waiting for the request, and close."""
    response = answer(Status.FAIL, MESSAGES[Status.FAIL])
    response.headers[REQUEST_ID] = new_request_id()
    with suppress(OSError), sock:
        sock.setblocking(False)
        sock.send(serialize(response))
        sock.shutdown(socket.SHUT_WR)
        sock.recv(_REFUSED_BYTES)
