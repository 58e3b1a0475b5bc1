"""A folder of backups, each in a folder named after the time it was begun, of which the newest are kept.

    .lock                   held by the backup that is being written
    2026-01-31T03-17-00Z/   a backup, or without its manifest.json what is left of one that was cut short

What has another name is nobody's here and left alone.
"""

import fcntl
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from facesearch.backup.manifest import MANIFEST, unwritable
from shared.control.layout import now
from shared.errors import OperatorError

LOCK: Final = ".lock"

_NAME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ")
"""In UTC. Without colons, which other systems do not take in a name; sorted, they are in the order of time."""


@contextmanager
def writing(folder: Path) -> Iterator[Path]:
    """Where the next backup belongs, while nobody else writes one into the folder. Raises OperatorError."""
    with _locked(folder):
        yield folder / f"{now():%Y-%m-%dT%H-%M-%SZ}"


def _locked(folder: Path) -> IO[str]:
    """The lock goes with the file, and with the process, even a killed one. Raises OperatorError."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = (folder / LOCK).open("w")
    except OSError as error:
        raise unwritable(folder, error) from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise OperatorError(f"another backup is being written into {folder}; wait for its end") from None
    except OSError as error:
        file.close()
        raise OperatorError(f"{folder} is on a file system without locks ({error.strerror}); choose another") from None
    return file


def prune(folder: Path, made: Path, keep: int) -> list[Path]:
    """Remove all backups but `made`, which is whole, and the newest others, so that `keep` remain; and what is left of
    those that were cut short. Returns what was removed. The caller is in `writing`. Raises OSError.
    """
    others = sorted((path for path in folder.iterdir() if _NAME.fullmatch(path.name) and path != made), reverse=True)
    whole = [path for path in others if (path / MANIFEST).is_file()]
    removed = [path for path in others if path not in whole[: keep - 1]]
    for path in removed:
        # First of all it ceases to be a backup: nobody takes a half of one for whole.
        (path / MANIFEST).unlink(missing_ok=True)
        shutil.rmtree(path)
    return sorted(removed)
