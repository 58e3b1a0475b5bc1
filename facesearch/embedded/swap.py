"""Replaces what a data directory holds, whole or not at all, whenever the process is killed.

What is to come is made in `restoring`, beside what is there. Renaming that folder to `restored` decides: before it
nothing has changed, and after it everything is moved to its place, if not by this process then by whoever opens the
data directory next.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_MAKING: Final = "restoring"
_MADE: Final = "restored"


@contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """An empty folder, whose files and folders take the places of those of their names in `folder` when the block ends
    without an error. The caller holds the lock on the data directory. Raises OSError.
    """
    making = folder / _MAKING
    shutil.rmtree(making, ignore_errors=True)  # left by a process that was killed
    making.mkdir(mode=0o700)
    try:
        yield making
        os.sync()  # all of it is on the disk before anything of the old is given up
        making.rename(folder / _MADE)
    except BaseException:
        shutil.rmtree(making, ignore_errors=True)
        raise
    finish(folder)


def finish(folder: Path) -> None:
    """Move what was decided to its place; nothing happens if there is none. May be repeated. Raises OSError."""
    made = folder / _MADE
    if not made.is_dir():
        return
    for new in sorted(made.iterdir()):
        old = folder / new.name
        if old.is_dir() and not old.is_symlink():
            shutil.rmtree(old)
        new.replace(old)
    os.sync()
    made.rmdir()
