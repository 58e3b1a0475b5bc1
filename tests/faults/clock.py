"""A wall clock that can be set, for all processes that are started with it: see clock.c.

Absolute deadlines of the C library on CLOCK_REALTIME are not shifted. CPython (3.11) waits by CLOCK_MONOTONIC where
sem_clockwait exists, and so does Rust.
"""

import mmap
import shutil
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SOURCE: Final = Path(__file__).with_name("clock.c")


@dataclass(frozen=True)
class Clock:
    """A wall clock. environment: the variables with which a process must be started to have it."""

    environment: dict[str, str]
    _offset: mmap.mmap

    def jump(self, seconds: int) -> None:
        """Set the clock ahead by that many seconds, back if negative."""
        (before,) = struct.unpack("=q", self._offset)
        self._offset[:] = struct.pack("=q", before + seconds)


@contextmanager
def clock(folder: Path) -> Iterator[Clock]:
    """Yield a clock that shows the right time. Its library is compiled in the folder."""
    library, offset = folder / "clock.so", folder / "offset"
    command = ["gcc", "-O2", "-Wall", "-Werror", "-shared", "-fPIC", "-o", str(library), str(SOURCE)]
    subprocess.run(command, check=True)
    offset.write_bytes(struct.pack("=q", 0))
    with offset.open("r+b") as file, mmap.mmap(file.fileno(), 8) as mapped:
        yield Clock({"LD_PRELOAD": str(library), "FAULTS_CLOCK": str(offset)}, mapped)


def why_not() -> str:
    """Return why there can be no such clock here, "" if there can."""
    return "" if shutil.which("gcc") else "there is no gcc"
