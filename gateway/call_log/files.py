"""The files of one chain: entries are appended, and a new file is begun each day and at a size."""

import errno
import os
from collections import deque
from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final

from shared.call_log.chain import VERSION, Chain, LogFile, Seal

FILE_BYTES: Final = 64 << 20
"""Bytes from which a file is followed by the next: some 200,000 calls."""

WAITING: Final = 10_000
"""Entries that may wait for a disk that is full: 4 MB of memory, or 25 MB if each is of a search that lists 50 persons.
"""

_ENTRIES_A_WRITE: Final = 1000


class Files:
    """The files of one chain, and the entries that are not written yet. folder: exists. name, host: of the chain."""

    def __init__(self, folder: Path, name: str, host: str, seal: Seal, file_bytes: int = FILE_BYTES) -> None:
        self._folder = folder
        self._host = host
        self._seal = seal
        self._file_bytes = file_bytes
        self._chain = Chain(seal)
        self._waiting: deque[bytes] = deque()
        self._begun = 0
        self._file: int | None = None
        self._number = 0
        self._day: date | None = None
        self._size = 0
        self.name = name
        self.failure: OSError | None = None
        """Why entries wait; None if the last attempt to write succeeded."""

    @property
    def end(self) -> tuple[int, str]:
        """The number and the hash of the last entry, written or not."""
        return self._chain.number, self._chain.hash

    @property
    def waiting(self) -> int:
        """The number of entries that could not be written yet."""
        return len(self._waiting)

    def append(self, event: str, fields: Mapping[str, Any]) -> None:
        """Add an entry, and write it unless others wait already. fields: JSON values."""
        is_first = not self._waiting
        self._waiting.append(self._chain.line(event, fields))
        if is_first:
            self.write()

    def write(self) -> None:
        """Hand the entries that wait to the system. Where that fails, they wait on; a line that was written in part is
        completed by the next attempt.
        """
        if self._file is None:
            return
        try:
            while self._waiting:
                some = [self._waiting[number] for number in range(min(len(self._waiting), _ENTRIES_A_WRITE))]
                self._written(os.write(self._file, b"".join(some)[self._begun :]))
        except OSError as error:
            self.failure = error
        else:
            self.failure = None

    def turn(self) -> int | None:
        """Begin the first file, or the next one where it is time. Returns the descriptor of the file before, which the
        caller has to sync and to close, None if there is none. Raises OSError; then everything is as before.
        """
        today = datetime.now(UTC).date()
        is_due = self._day != today or self._size >= self._file_bytes
        if not is_due or self._waiting:  # no line is in two files
            return None
        file = LogFile(self.name, self._number + 1)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        descriptor = os.open(self._folder / file.name, flags, 0o600)
        before, self._file = self._file, descriptor
        self._number, self._day, self._size = file.number, today, 0
        previous = self._chain.hash
        opened = {"version": VERSION, "chain": self.name, "file": file.number, "host": self._host}
        self.append("open", opened | {"seal": self._seal.name, "previous": previous})
        return before

    def descriptor(self) -> int:
        """Return a descriptor of the present file, which the caller has to close. Raises OSError."""
        if self._file is None:
            raise OSError(errno.EBADF, "no file is open")
        return os.dup(self._file)

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _written(self, count: int) -> None:
        """Forget what was written. count: bytes."""
        self._size += count
        count += self._begun
        while self._waiting and count >= len(self._waiting[0]):
            count -= len(self._waiting.popleft())
        self._begun = count
