"""The data directory of embedded mode. Only its owner may read it: it holds embeddings and names.

lock          locked by the instance that uses the directory
api-key       the first API key, mode 0600, unless FACESEARCH_API_KEY names one
admin-key     the key of the admin API, likewise, unless FACESEARCH_ADMIN_KEY names one
faces/        Qdrant Edge, one folder per collection
valkey/       append-only file of the broker: control data and the queue
images/       working folder of the image store, which writes nothing but its log
handover/     faces that a worker has written for a backup in progress
restor…/      data that a restore is about to move into place: facesearch/embedded/swap.py
run/          Unix sockets, and what gateway processes share (or a link to a folder with a shorter path)
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

FACES: Final = "faces"
BROKER: Final = "valkey"

IMAGES_SOCKET: Final = "images.sock"

_GROUP_AND_OTHERS: Final = 0o077
"""Permission bits that are removed."""

LONGEST_SOCKET_PATH: Final = 100
"""Bytes; the system's limit is 108 on Linux and 104 on macOS, its final zero included."""


@contextmanager
def opened(folder: Path) -> Iterator[Path]:
    """Create the directory if it is missing, lock it and yield its absolute path.

    Permissions of group and others are removed, unless the directory holds foreign files or belongs to another user.
    Until the end of the block the umask also removes them from every file that this process and its children create. A
    restore that was interrupted after its point of no return (facesearch/embedded/swap.py) is completed first.

    Raises OperatorError if the directory cannot be created or written to, or if another instance uses it.
    """
    folder = folder.expanduser().absolute()
    with _private_umask(), _locked(folder):
        yield folder


def require_readable(folder: Path) -> None:
    """Raise OperatorError if there is a data directory, and this user may not read it: nobody can tell then what is in
    it, or whether a service runs on it.
    """
    folder = folder.expanduser().absolute()
    if os.path.exists(folder) and not os.access(folder, os.R_OK | os.X_OK):  # noqa: PTH110 -- raises nothing
        raise OperatorError(
            f"the data directory {folder} belongs to user {_owner(folder)}, and this user may not read it; run the "
            "command as that one"
        )


def _owner(folder: Path) -> str:
    try:
        return folder.owner()
    except KeyError:  # in a container
        return str(folder.stat().st_uid)


@contextmanager
def _private_umask() -> Iterator[None]:
    before = os.umask(_GROUP_AND_OTHERS)
    try:
        yield
    finally:
        os.umask(before)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if (folder / "lock").exists() or not any(folder.iterdir()):
            _make_private(folder)
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


def _make_private(folder: Path) -> None:
    if stat.S_IMODE(folder.stat().st_mode) & _GROUP_AND_OTHERS:
        with suppress(PermissionError):  # not the owner, such as of a volume that is mounted for a group
            folder.chmod(0o700)


def load_or_create_key(path: Path) -> str:
    """Return the key in the file, which is created with a random key of 192 bits if it does not exist.

    Raises OperatorError if the file is empty.
    """
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
    """Yield an empty folder for Unix sockets, whose paths must be short.

    It is `run` in the data directory or, where that path is too long, a private temporary folder to which `run` is a
    link. The caller holds the lock.
    """
    run = folder / "run"
    if run.is_symlink():
        run.unlink()  # its target may belong to another process by now
    if len(os.fsencode(run / IMAGES_SOCKET)) <= LONGEST_SOCKET_PATH:
        run.mkdir(mode=0o700, exist_ok=True)
        _empty(run)  # of an instance that was killed
        yield run
        _empty(run)  # of a child that was killed
        return
    with tempfile.TemporaryDirectory(prefix="facesearch-") as short:
        run.symlink_to(short)
        yield Path(short)
        run.unlink()


def _empty(run: Path) -> None:
    for left in run.iterdir():
        left.unlink()


def broker_socket(folder: Path) -> Path:
    """Return the path of the broker's socket. It exists while an instance runs on the directory."""
    run = folder.expanduser().absolute() / "run"
    # The link is resolved because the path of a Unix socket must be short.
    return (run.readlink() if run.is_symlink() else run) / "broker.sock"
