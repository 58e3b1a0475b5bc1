"""How fast a caller takes its answer."""

import asyncio
import fcntl
import struct
import termios
from collections.abc import Callable
from typing import Final

from gateway.http.timeouts import Timeouts

_INT: Final = struct.Struct("i")


class SlowReaderGuard:
    """Watches what has been written to a connection and not been taken; ends it when too little is taken for too long.

    late: called before the connection is ended.
    """

    def __init__(self, transport: asyncio.Transport, timeouts: Timeouts, late: Callable[[], None]) -> None:
        self._transport = transport
        self._timeouts = timeouts
        self._late = late
        self._left = 0
        self._timer: asyncio.TimerHandle | None = None
        # As soon as the system takes no more, the loop says so, and once it has all.
        transport.set_write_buffer_limits(high=0)

    def begin(self) -> None:
        """Something could not be sent at once."""
        self._left = self._size()
        self._timer = asyncio.get_running_loop().call_later(self._timeouts.answer_read_s, self._look)

    def end(self) -> None:
        """Everything is sent, or nothing will be."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        taken = self._left - self._size()
        if taken >= self._timeouts.answer_read_bytes:
            self.begin()
        else:
            self._late()
            self._transport.abort()

    def _size(self) -> int:
        """Bytes that are not with the caller: those that the system has not taken, and those it has not delivered.
        Without the second a slow reader would seem to stand still, as a system takes more only once a third is gone.
        """
        return self._transport.get_write_buffer_size() + _undelivered(self._transport)


def _undelivered(transport: asyncio.Transport) -> int:
    """0 where the system does not tell."""
    sock = transport.get_extra_info("socket")
    try:
        answered = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(_INT.size))
    except (OSError, AttributeError):
        return 0
    size: int = _INT.unpack(answered)[0]
    return size
