"""Writes a backup, while the service runs or while it is stopped."""

import os
import shutil
from collections.abc import Iterable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import IO, Final

from redis import Redis, RedisError

from facesearch.backup import control_data, manifest, served_faces, worker_request
from facesearch.backup.counted import Counted
from facesearch.embedded import data_directory, stopped_broker
from facesearch.embedded.broker import describe_failure
from shared import last_backup
from shared.backup_request import faces_path
from shared.errors import OperatorError
from shared.last_backup import LastBackup
from shared.progress import Say, Show
from shared.settings import Settings
from worker.store import awaiting, faces_file
from worker.store.backend import Backend
from worker.store.base import StoreError
from worker.store.opening import backend, configured_spaces
from worker.store.views import served

KEY_FILES: Final = (data_directory.API_KEY, data_directory.ADMIN_KEY)


def require_durable(settings: Settings) -> None:
    """Raise OperatorError for a store that keeps nothing."""
    if not backend(settings).durable:
        raise OperatorError("FACESEARCH_STORE=memory keeps nothing that could be backed up")


def back_up(settings: Settings, folder: Path, say: Say, show: Show) -> manifest.Manifest:
    """Write a backup into a new folder. say, show: called with the progress. Raises OperatorError."""
    try:
        return _write(settings, folder, say, show)
    except RedisError as error:
        raise OperatorError(f"{describe_failure(settings, error)}; there is no backup") from None
    except OSError as error:
        raise OperatorError(
            f"cannot write to {folder} ({error.strerror}), so there is no backup; make room, or choose another folder"
        ) from None


def _write(settings: Settings, folder: Path, say: Say, show: Show) -> manifest.Manifest:
    store = backend(settings)
    with stopped_broker.connected(settings, say) as (redis, home):
        collections = control_data.collections_of(redis)
        manifest.begin(folder)
        with (folder / manifest.CONTROL).open("w", encoding="utf-8") as control:
            # The records come first: an outcome that is kept must be of a face that is kept. The counters, and with
            # them all the rest, come last: a name is never given twice.
            _add(control, control_data.records(redis))
            _write_faces(settings, store, redis, home, folder / manifest.FACES, collections, say, show)
            _add(control, control_data.kept(redis))
            control.flush()
            os.fsync(control.fileno())
        if settings.redis_url is None or store.folder is not None:
            copy_keys(settings.data_dir.expanduser(), folder)
        made = manifest.finish(folder, "embedded" if store.snapshots is None else "qdrant")
        with suppress(RedisError):  # the backup is whole whether or not operators are told of it
            last_backup.keep(redis, LastBackup(at=made.created, bytes=made.bytes, release=made.release))
        return made


def copy_keys(source: Path, target: Path) -> None:
    """Copy the key files that are there. Without them the next start makes a new first key, and the one that callers
    have no longer opens.
    """
    for name in KEY_FILES:
        if (source / name).is_file():
            (target / name).touch(mode=0o600)
            shutil.copyfile(source / name, target / name)


def _write_faces(
    settings: Settings,
    store: Backend,
    redis: Redis,
    home: Path | None,
    folder: Path,
    collections: Sequence[str],
    say: Say,
    show: Show,
) -> None:
    """home: the data directory, if it is locked already."""
    if store.snapshots is not None:
        store.snapshots.save(folder, say)
    elif home is not None:
        _write_files(settings, store, folder, collections, say, show)
    elif settings.redis_url is None or worker_request.alive(redis):
        written = served_faces.write_faces(redis, settings.handover, folder, collections, show)
        say(f"{written.faces} persons of {written.collections} facedbs")
    else:
        with data_directory.opened(settings.data_dir):
            _write_files(settings, store, folder, collections, say, show)


def _write_files(
    settings: Settings, store: Backend, folder: Path, collections: Sequence[str], say: Say, show: Show
) -> None:
    """Write the faces of a store that no other process has open."""
    spaces = configured_spaces(settings)
    try:
        with closing(store.open(spaces)) as opened:
            written = Counted(show, sum(map(opened.count, collections)))
            for collection in collections:
                faces = served(opened, spaces, collection) or opened
                awaiting.await_available(faces, collection)
                points = written.through(faces.points(collection))
                faces_file.write(faces_path(folder, collection), collection, faces.identity, points)
            say(f"{written.persons} persons of {len(collections)} facedbs")
    except StoreError as error:
        raise OperatorError(f"the faces cannot be read: {error}") from None


def _add(control: IO[str], entries: Iterable[control_data.Entry]) -> None:
    control.writelines(entry.line() for entry in entries)
