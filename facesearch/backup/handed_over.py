"""Folders below the handover folder in which commands hand files over to the worker that has the embedded store."""

import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from shared.errors import OperatorError

LOCK: Final = "import.lock"
"""Held while an import has files in the handover folder."""

_HANDED_OVER: Final = re.compile(r"import-[0-9a-f]{32}")
"""Name of the folder of one import in the handover folder."""


@contextmanager
def handed_over(handover: Path, request_id: str) -> Iterator[Path]:
    """Make a folder below the handover folder, and remove it in the end, and those that killed imports left."""
    handover.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _locked(handover) as is_ours:
        if not is_ours:
            raise OperatorError("another import of this service is under way; wait for its end and try again")
        _remove(handover)
        folder = handover / f"import-{request_id}"
        folder.mkdir(mode=0o700)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def remove_leftovers(handover: Path) -> None:
    """Remove what killed imports left below the handover folder, unless one is under way. Raises OSError."""
    if handover.is_dir() and any(_HANDED_OVER.fullmatch(left.name) for left in handover.iterdir()):
        with _locked(handover) as is_ours:
            if is_ours:
                _remove(handover)


def _remove(handover: Path) -> None:
    for left in handover.iterdir():
        if _HANDED_OVER.fullmatch(left.name):
            shutil.rmtree(left, ignore_errors=True)


@contextmanager
def _locked(handover: Path) -> Iterator[bool]:
    descriptor = os.open(handover / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)
