"""Removing files of the call log that are older than it is kept.

A file goes with all files before it in its chain. That it goes is itself an entry, written before, so that a missing
file that was removed for its age is told from one that somebody took away.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from shared.call_log.chain import Damaged, Entry, LogFile, parse

TAIL_BYTES: Final = 64 << 10
"""Bytes at the end of a file in which its last entry is looked for; an entry has at most some 5 kB."""


@dataclass(frozen=True)
class Expired:
    """A file to remove. last: its last entry, None if it has none because the process was killed at its beginning."""

    path: Path
    file: LogFile
    last: Entry | None

    def fields(self) -> dict[str, Any]:
        """Return the fields of the entry about it."""
        last = {} if self.last is None else {"last": self.last.number, "last_hash": self.last.hash}
        return {"chain": self.file.chain, "file": self.file.number, **last}


def expired(folder: Path, before: datetime) -> list[Expired]:
    """Return the files whose last entry is older than that, in the order in which they may go. Raises OSError."""
    found = [(file, path) for path in folder.iterdir() if (file := LogFile.of(path)) is not None]
    result: list[Expired] = []
    stays = ""
    for file, path in sorted(found):
        if file.chain == stays:
            continue
        last = last_entry(path)
        at = datetime.fromtimestamp(path.stat().st_mtime, UTC) if last is None else last.at
        if at < before:
            result.append(Expired(path, file, last))
        else:
            stays = file.chain
    return result


def last_entry(path: Path) -> Entry | None:
    """Return the last whole entry of a file, None if it has none. Raises OSError."""
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
        tail = file.read()
    return next(_entries(tail), None)


def _entries(tail: bytes) -> Iterator[Entry]:
    """Yield the entries at the end of a file, the last one first."""
    for line in reversed(tail.split(b"\n")[:-1]):
        try:
            yield parse(line)
        except Damaged:
            continue
