"""A small file system of its own, that can be filled."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

MIB: Final = 2**20

FILLER: Final = "filler"


@dataclass(frozen=True)
class Disk:
    """folder: where it is mounted."""

    folder: Path

    @property
    def free_bytes(self) -> int:
        state = os.statvfs(self.folder)
        return state.f_bavail * state.f_frsize

    def fill(self, leave_bytes: int) -> None:
        """Have a file take all but so many bytes, though others take some meanwhile."""
        with (self.folder / FILLER).open("ab") as filler:
            while (more := self.free_bytes - leave_bytes) > 0:
                with suppress(OSError):  # less is free by now
                    os.posix_fallocate(filler.fileno(), os.fstat(filler.fileno()).st_size, more)

    @contextmanager
    def filled(self, leave_bytes: int = 0) -> Iterator[None]:
        """In the block all but so many bytes are taken."""
        self.fill(leave_bytes)
        try:
            yield
        finally:
            self.free()

    def free(self) -> None:
        """Remove what filled it."""
        (self.folder / FILLER).unlink(missing_ok=True)


@contextmanager
def disk(folder: Path, mib: int) -> Iterator[Disk]:
    """An empty one of that many MiB, in memory, on a folder that is made for it."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mib}m,mode=700", "tmpfs", str(folder)], check=True)
    try:
        yield Disk(folder)
    finally:
        # Lazily: whatever still has a file open there must not keep the mount.
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@cache
def why_not() -> str:
    """Why there can be none here, "" if there can."""
    if os.geteuid() != 0:
        return "only root may mount a file system"
    try:
        with TemporaryDirectory() as folder, disk(Path(folder) / "disk", 1):
            return ""
    except (OSError, subprocess.CalledProcessError) as error:
        return f"a file system cannot be mounted: {error}"
