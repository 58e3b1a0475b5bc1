"""A folder of backups, of which the newest are kept.

    .lock                   held while a backup is being written
    2026-01-31T03-17-00Z/   a backup, named after its start; without a manifest.json, one that was cut short

Files and folders of other names are left alone.
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
"""UTC, without colons, which some file systems refuse. The order of names is that of times."""


@contextmanager
def writing(folder: Path) -> Iterator[Path]:
    """Yield the folder of the next backup, and lock the folder of backups for the block. Raises OperatorError."""
    with _locked(folder):
        yield folder / f"{now():%Y-%m-%dT%H-%M-%SZ}"


def _locked(folder: Path) -> IO[str]:
    """Return the locked file. The lock ends when it is closed, or with the process. Raises OperatorError."""
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
    """Remove backups so that `made`, which is complete, and the newest others remain, `keep` in total; and remove those
    that were cut short. Returns what was removed. Called within `writing`. Raises OSError.
    """
    others = sorted((path for path in folder.iterdir() if _NAME.fullmatch(path.name) and path != made), reverse=True)
    whole = [path for path in others if (path / MANIFEST).is_file()]
    removed = [path for path in others if path not in whole[: keep - 1]]
    for path in removed:
        # First the manifest, so that a half-removed backup is not taken for a complete one.
        (path / MANIFEST).unlink(missing_ok=True)
        shutil.rmtree(path)
    return sorted(removed)
