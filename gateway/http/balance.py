"""New connections go to the process of a gateway that has the fewest.

All processes of a gateway wait on the same listening socket. The system wakes all of them, and the fastest takes the
connection, again and again: of 64 connections one of four processes took 36 and another one 1. Connections are kept
alive, so the first would stay busy while the other is idle. Therefore a process that has more than another lets the
others go first: gateway/http/acceptor.py.
"""

import mmap
import os
from pathlib import Path
from typing import Final

_SIZE: Final = 4
"""Bytes of one number: written and read at once by every processor, so that no lock is needed."""


class Balance:
    """The numbers of connections of all processes, in a file that all of them map. number: of this process, from 1 to
    `of`. The number of a process that has died stands until the next one begins at 0.
    """

    def __init__(self, path: Path, number: int, of: int) -> None:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(descriptor, of * _SIZE)
            self._held = memoryview(mmap.mmap(descriptor, of * _SIZE)).cast("I")
        finally:
            os.close(descriptor)
        self._own = number - 1
        self.report(0)

    def report(self, held: int) -> None:
        """Tell the others how many connections this process has."""
        self._held[self._own] = held

    def others_have_fewer(self) -> bool:
        """Return whether another process has fewer connections than this one."""
        return min(self._held) < self._held[self._own]
