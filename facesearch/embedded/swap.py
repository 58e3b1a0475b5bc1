"""Atomic replacement of the contents of a data directory, also if the process is killed.

The new contents are written to the folder `restoring` beside the old ones. Renaming it to `restored` is the point of no
return: before it nothing has changed, and after it the contents are moved into place, by this process or by the next
one that opens the data directory.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_INCOMPLETE: Final = "restoring"
_COMPLETE: Final = "restored"


@contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """Yield an empty folder whose entries replace those of the same names in `folder` when the block ends without an
    error. The caller holds the lock on the data directory. Raises OSError.
    """
    incomplete = folder / _INCOMPLETE
    shutil.rmtree(incomplete, ignore_errors=True)  # left by a process that was killed
    incomplete.mkdir(mode=0o700)
    try:
        yield incomplete
        os.sync()  # everything new is on the disk before anything old is removed
        incomplete.rename(folder / _COMPLETE)
    except BaseException:
        shutil.rmtree(incomplete, ignore_errors=True)
        raise
    finish(folder)


def finish(folder: Path) -> None:
    """Move the entries of `restored`, if it exists, into place. May be repeated. Raises OSError."""
    complete = folder / _COMPLETE
    if not complete.is_dir():
        return
    for new in sorted(complete.iterdir()):
        old = folder / new.name
        if old.is_dir() and not old.is_symlink():
            shutil.rmtree(old)
        new.replace(old)
    os.sync()
    complete.rmdir()
