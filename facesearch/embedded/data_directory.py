"""The data directory of embedded mode. Nobody but its owner may look into it: it has vectors and names.

lock          held by the instance that runs on this directory
api-key       the first API key, mode 0600, unless FACESEARCH_API_KEY names one
admin-key     the key of the admin API, likewise, unless FACESEARCH_ADMIN_KEY names one
faces/        Qdrant Edge, one folder per collection
valkey/       append-only file of the broker: control data and the queue
images/       working folder of the image store, which never writes to it
handover/     faces on their way from the worker to a backup
restor…/      what a restore is about to put in place: facesearch/embedded/swap.py
run/          Unix sockets (or a link to a folder with a shorter path)
"""

import fcntl
import os
import secrets
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from facesearch.embedded import swap
from shared.control import FIRST_KEY_FILE
from shared.errors import OperatorError

API_KEY: Final = FIRST_KEY_FILE
ADMIN_KEY: Final = "admin-key"

_OF_OTHERS: Final = 0o077
"""Permissions that none but the owner needs."""

LONGEST_SOCKET_PATH: Final = 100
"""Bytes; the system's limit is 108 on Linux and 104 on macOS, its final zero included."""


@contextmanager
def opened(folder: Path) -> Iterator[Path]:
    """The directory, made if need be and locked for this instance. Yields its absolute path. It is closed to everybody
    else, unless it holds other things than ours, or belongs to somebody else; and what this process and its children
    make, here or elsewhere, is for its owner only meanwhile. A restore that was cut short once it was decided
    (facesearch/embedded/swap.py) is finished first.

    Raises OperatorError when it cannot be made or written to, or when another instance runs on it.
    """
    folder = folder.expanduser().absolute()
    with _private(), _locked(folder):
        yield folder


@contextmanager
def _private() -> Iterator[None]:
    before = os.umask(_OF_OTHERS)
    try:
        yield
    finally:
        os.umask(before)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if (folder / "lock").exists() or not any(folder.iterdir()):
            _close(folder)
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise OperatorError(
            f"cannot use the data directory {folder}: {error.strerror}; choose another with --data-dir"
        ) from None
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise OperatorError(
                f"the data directory {folder} is in use by another instance; stop that one or choose another "
                "with --data-dir"
            ) from None
        try:
            swap.finish(folder)
        except OSError as error:
            raise OperatorError(
                f"cannot finish the restore that was cut short in {folder} ({error.strerror}); mend that and try again"
            ) from None
        yield
    finally:
        os.close(lock)


def _close(folder: Path) -> None:
    if stat.S_IMODE(folder.stat().st_mode) & _OF_OTHERS:
        with suppress(PermissionError):  # not the owner: a volume that is mounted for a group, say
            folder.chmod(0o700)


def kept_key(path: Path) -> str:
    """The key kept in that file, made with 192 random bits if there is none yet."""
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        key = path.read_text().strip()
        if not key:
            raise OperatorError(f"{path} is empty; remove it to have a new key made") from None
        return key
    key = secrets.token_urlsafe(24)
    with os.fdopen(file, "w") as stream:
        stream.write(key + "\n")
    return key


@contextmanager
def run_folder(folder: Path) -> Iterator[Path]:
    """Where sockets go: `run` in the data directory, or a private temporary folder that `run` then links to, since
    the path of a Unix socket may not be long. Belongs to the holder of the lock; empty at first.
    """
    run = folder / "run"
    if run.is_symlink():
        run.unlink()  # what it led to may be anybody's by now
    if len(os.fsencode(run / "images.sock")) <= LONGEST_SOCKET_PATH:
        run.mkdir(mode=0o700, exist_ok=True)
        for left_by_a_killed_instance in run.iterdir():
            left_by_a_killed_instance.unlink()
        yield run
        return
    with tempfile.TemporaryDirectory(prefix="facesearch-") as short:
        run.symlink_to(short)
        yield Path(short)
        run.unlink()


def broker_socket(folder: Path) -> Path:
    """Where the broker of the instance that runs on this directory listens; there is none if there is no such file."""
    run = folder.expanduser().absolute() / "run"
    # Not through the link: the path of a Unix socket may not be long.
    return (run.readlink() if run.is_symlink() else run) / "broker.sock"
