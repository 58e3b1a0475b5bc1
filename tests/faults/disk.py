"""A small file system that can be filled."""

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
    """A mounted file system. folder: its mount point."""

    folder: Path

    @property
    def free_bytes(self) -> int:
        state = os.statvfs(self.folder)
        return state.f_bavail * state.f_frsize

    def fill(self, leave_bytes: int) -> None:
        """Fill the disk with a file until that many bytes are free, although other files may grow meanwhile."""
        with (self.folder / FILLER).open("ab") as filler:
            while (more := self.free_bytes - leave_bytes) > 0:
                with suppress(OSError):  # less is free by now
                    os.posix_fallocate(filler.fileno(), os.fstat(filler.fileno()).st_size, more)

    @contextmanager
    def filled(self, leave_bytes: int = 0) -> Iterator[None]:
        """Fill the disk to that many free bytes for the block."""
        self.fill(leave_bytes)
        try:
            yield
        finally:
            self.free()

    def free(self) -> None:
        """Remove the file that fills the disk."""
        (self.folder / FILLER).unlink(missing_ok=True)


@contextmanager
def disk(folder: Path, mib: int) -> Iterator[Disk]:
    """Yield an empty disk of that many MiB, in memory, mounted on a folder that is created."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mib}m,mode=700", "tmpfs", str(folder)], check=True)
    try:
        yield Disk(folder)
    finally:
        # Lazily, so that a file that is still open does not keep the mount.
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@cache
def why_not() -> str:
    """Return why there can be no such disk here, "" if there can."""
    if os.geteuid() != 0:
        return "only root may mount a file system"
    try:
        with TemporaryDirectory() as folder, disk(Path(folder) / "disk", 1):
            return ""
    except (OSError, subprocess.CalledProcessError) as error:
        return f"a file system cannot be mounted: {error}"
