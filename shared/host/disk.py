"""Flushing files to the disk."""

import os
from pathlib import Path


def sync(path: Path) -> None:
    """Flush a file or folder to the disk. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Flush a folder and everything in it to the disk. Raises OSError."""
    for path in folder.rglob("*"):
        sync(path)
    sync(folder)
