"""What the disk holds, and not only the system."""

import os
from pathlib import Path


def sync(path: Path) -> None:
    """Have the disk hold what path, a file or folder, says now. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """The same of a folder with all that is in it. Raises OSError."""
    for path in folder.rglob("*"):
        sync(path)
    sync(folder)
