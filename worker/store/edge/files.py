"""The folder of an EdgeStore: a folder for each collection, used by one process at a time.

    <folder>/.lock                         flock of the process that uses the folder
    <folder>/<collection>/collection.json  name and identity
    <folder>/<collection>/shard/           the engine's files
    <folder>/<collection>/counts.json      what is in it, while it is closed (worker/store/edge/counts.py)
    <folder>/<collection>/shard.new/       their replacement, complete; if the process is killed, the next one that
                                           opens the collection puts it in place
    <folder>/.tmp-<uuid>/                  being made or being removed; cleared at the next start

No collection's name starts with a dot.
"""

import fcntl
import json
import os
import re
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from shared.errors import OperatorError
from shared.host.disk import sync, sync_tree
from worker.store.base import StoreError

_TEMPORARY = ".tmp-"

_NEW: Final = "shard.new"

_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}")
"""Names of collections are tenant.facedb.number, of at most 64, 64 and 8 characters. None leads out of the folder, and
file systems take 255.
"""


def names(folder: Path) -> list[str]:
    """Return the names of all collections, damaged ones too, sorted. Raises OSError if the folder cannot be read."""
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def identities(folder: Path, collections: Iterable[str]) -> dict[str, str]:
    """Return the identity of each collection, without missing and damaged ones. The folder may be in use."""
    found: dict[str, str] = {}
    for collection in collections:
        with suppress(FileNotFoundError, StoreError):
            found[collection] = _identity(folder, collection)
    return found


def _path(folder: Path, collection: str) -> Path:
    if not _NAME.fullmatch(collection):
        raise StoreError(f"{collection!r} cannot be the name of a collection")
    return folder / collection


def _identity(folder: Path, collection: str) -> str:
    path = _path(folder, collection)
    if not path.exists():
        raise FileNotFoundError(path)
    try:
        described = json.loads((path / "collection.json").read_bytes())
        name, identity = described["collection"], described["identity"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{path}/collection.json is damaged: restore or drop the collection") from error
    # A file system that ignores case would otherwise give one tenant's collection to another.
    if name != collection or not isinstance(identity, str):
        raise StoreError(f"{path} holds collection {name!r}, not {collection!r}")
    return identity


class EdgeFiles:
    """The collections' folders, locked from construction until `release`.

    Raises OperatorError if the folder is in use or cannot be written. Methods raise OSError.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = (folder / ".lock").open("a+")
        except OSError as error:
            raise OperatorError(
                f"cannot write to {folder} ({error.strerror}); mend that or set another folder"
            ) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock.seek(0)
            holder = self._lock.read().strip()
            self._lock.close()
            raise OperatorError(
                f"{folder} is in use by another process ({holder or 'starting'}); stop that one, set another "
                "FACESEARCH_DATA_DIR, or give both a QDRANT_URL to share"
            ) from error
        self._lock.truncate(0)
        self._lock.write(f"pid {os.getpid()}\n")
        self._lock.flush()
        self._using: set[Path] = set()
        self.clear()

    @property
    def lock(self) -> int:
        """Descriptor of the lock; a process that inherits it holds the lock, too."""
        return self._lock.fileno()

    def release(self) -> None:
        self._lock.close()

    def names(self) -> list[str]:
        """Return the names of all collections, damaged ones too, sorted."""
        return names(self.folder)

    def path(self, collection: str) -> Path:
        """Return the collection's folder. Raises StoreError for a name that could lead out of the store's folder."""
        return _path(self.folder, collection)

    def shard(self, collection: str) -> Path:
        return self.path(collection) / "shard"

    def identity(self, collection: str) -> str:
        """Return the identity of the collection. Raises FileNotFoundError if there is none, StoreError if it is
        damaged.
        """
        return _identity(self.folder, collection)

    def make(self, collection: str, identity: str, fill: Callable[[Path], None]) -> None:
        """Make the collection completely or not at all. fill creates the shard at the path it is called with."""
        final = self.path(collection)
        with self.temporary() as temporary:
            fill(temporary / "shard")
            description = temporary / "collection.json"
            description.write_text(json.dumps({"collection": collection, "identity": identity}), "utf-8")
            for path in (description, temporary):
                sync(path)
            temporary.rename(final)
        sync(self.folder)

    def remove(self, collection: str) -> None:
        """Remove the collection, if it is there: at once by renaming it, its bytes right after."""
        with self._name() as gone:
            try:
                self.path(collection).rename(gone)
            except FileNotFoundError:
                return
            sync(self.folder)
            shutil.rmtree(gone)

    def replace(self, collection: str, shard: Path) -> None:
        """Replace the collection's shard by one in a `temporary` folder; neither may be open. Whenever the process is
        killed, the collection is as before or as after.
        """
        sync_tree(shard)
        shard.rename(self.path(collection) / _NEW)  # decides
        sync(self.path(collection))
        self.settle(collection)

    def settle(self, collection: str) -> None:
        """Finish a replacement that a killed process began, if there is one. The collection may not be open."""
        new, shard = self.path(collection) / _NEW, self.shard(collection)
        if not new.exists():
            return
        with self._name() as gone:
            with suppress(FileNotFoundError):  # the process was killed right after
                shard.rename(gone)
            new.rename(shard)
            sync(self.path(collection))
            sync(self.folder)
            if gone.exists():
                shutil.rmtree(gone)

    def clear(self) -> None:
        """Remove temporary folders that a killed process left or that could not be removed before."""
        for leftover in self.folder.glob(f"{_TEMPORARY}*"):
            if leftover not in self._using:
                shutil.rmtree(leftover)

    def used_bytes(self, collection: str) -> int:
        """Return the bytes that the collection takes on the disk."""
        blocks = 0
        for path in self.path(collection).rglob("*"):
            with suppress(FileNotFoundError):  # the engine removed it meanwhile
                blocks += path.lstat().st_blocks
        return blocks * 512

    @contextmanager
    def temporary(self) -> Iterator[Path]:
        """Yield a new folder, which is removed after the block."""
        with self._name() as path:
            path.mkdir()
            try:
                yield path
            finally:
                shutil.rmtree(path, ignore_errors=True)

    def sync_log(self, collection: str) -> None:
        """Sync the write-ahead log of the collection's shard to the disk, if it is there."""
        log = self.shard(collection) / "wal"
        with suppress(FileNotFoundError):  # dropped since, or cut by the engine
            for path in (*log.iterdir(), log):
                with suppress(FileNotFoundError):
                    sync(path)

    def free_bytes(self) -> int:
        return shutil.disk_usage(self.folder).free

    @contextmanager
    def _name(self) -> Iterator[Path]:
        """Yield the path of a temporary folder, which `clear` leaves alone during the block."""
        path = self.folder / f"{_TEMPORARY}{uuid.uuid4()}"
        self._using.add(path)
        try:
            yield path
        finally:
            self._using.discard(path)
