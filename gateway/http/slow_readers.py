"""A minimum rate at which callers read their answers."""

import asyncio
import fcntl
import struct
import termios
from collections.abc import Callable
from typing import Final

from gateway.http.timeouts import Timeouts

_INT: Final = struct.Struct("i")


class SlowReaderGuard:
    """Aborts a connection whose caller reads too little of its answer for too long.

    on_abort: called before the connection is aborted.
    """

    def __init__(self, transport: asyncio.Transport, timeouts: Timeouts, on_abort: Callable[[], None]) -> None:
        self._transport = transport
        self._timeouts = timeouts
        self._on_abort = on_abort
        self._unread = 0
        self._timer: asyncio.TimerHandle | None = None
        # So the loop calls pause_writing as soon as the system takes no more, and resume_writing once it has all.
        transport.set_write_buffer_limits(high=0)

    def start(self) -> None:
        """Start watching; called when something could not be sent at once."""
        self._unread = self._unread_bytes()
        self._timer = asyncio.get_running_loop().call_later(self._timeouts.answer_read_s, self._check)

    def stop(self) -> None:
        """Stop watching; called when everything is sent or the connection is lost."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _check(self) -> None:
        self._timer = None
        if self._unread - self._unread_bytes() >= self._timeouts.answer_read_bytes:
            self.start()
        else:
            self._on_abort()
            self._transport.abort()

    def _unread_bytes(self) -> int:
        """Return the bytes that have not reached the caller: those in the transport's buffer and in the system's.
        Without the latter a slow reader would seem to stand still, as a system takes more only once a third is read.
        """
        return self._transport.get_write_buffer_size() + _undelivered(self._transport)


def _undelivered(transport: asyncio.Transport) -> int:
    """Return the bytes in the system's send buffer, 0 where the system does not report them."""
    sock = transport.get_extra_info("socket")
    try:
        answered = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(_INT.size))
    except (OSError, AttributeError):
        return 0
    size: int = _INT.unpack(answered)[0]
    return size
