"""`facesearch backup`: everything that is kept, in a folder, while the service runs or while it is stopped."""

import os
import shutil
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import IO, Final

import click
from redis import Redis, RedisError

from facesearch.backup import control_data, manifest, rotation, served_faces, worker_request
from facesearch.cli.console import backup_only, data_dir_option, remark, reported, settings_from
from facesearch.embedded import data_directory, servers, stopped_broker
from facesearch.embedded.broker import describe_failure
from shared.backup_request import faces_path
from shared.errors import OperatorError
from shared.redis_clients import connect_blocking
from shared.settings import Settings

KEY_FILES: Final = (data_directory.API_KEY, data_directory.ADMIN_KEY)

BROKER: Final = "valkey"
"""Folder of the broker's files in a data directory."""


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False, readable=False))
@click.option(
    "--keep",
    type=click.IntRange(1),
    metavar="N",
    help="Treat DIR as a folder of backups: add one, named after the time, and remove all but the newest N.",
)
@data_dir_option
@reported
@backup_only
def backup(folder: Path, keep: int | None, data_dir: Path | None) -> None:
    """Write a backup of faces, tenants, keys and counters into the new folder DIR. The service may be running."""
    settings = settings_from(data_dir=data_dir)
    if settings.store_kind == "memory":
        raise OperatorError("FACESEARCH_STORE=memory keeps nothing that could be backed up")
    folder = folder.expanduser().absolute()
    if keep is None:
        _back_up(settings, folder)
        return
    with rotation.writing(folder) as made:
        _back_up(settings, made)
        try:
            for old in rotation.prune(folder, made, keep):
                click.echo(f"{old}: removed")
        except OSError as error:
            raise OperatorError(
                f"the backup is whole, and older ones cannot be removed: {error.filename or folder}: {error.strerror}"
            ) from None


def _back_up(settings: Settings, folder: Path) -> None:
    """Into a new folder. Raises OperatorError."""
    try:
        made = _write(settings, folder)
    except RedisError as error:
        raise OperatorError(f"{describe_failure(settings, error)}; there is no backup") from None
    except OSError as error:
        raise OperatorError(f"cannot write to {folder} ({error.strerror}), so there is no backup") from None
    click.echo(f"{folder}: {made.bytes / 1e6:.1f} MB, checked by its manifest.json")


def _write(settings: Settings, folder: Path) -> manifest.Manifest:
    with ExitStack() as stack:
        redis, home = broker(stack, settings)
        manifest.begin(folder)
        collections = control_data.collections_of(redis)
        with (folder / manifest.CONTROL).open("w", encoding="utf-8") as control:
            # An outcome that is kept must be of a face that is kept: these come first. A name is never given twice: the
            # counters, and with them all the rest, come last.
            _add(control, control_data.records(redis))
            _write_faces(stack, settings, redis, home, folder / manifest.FACES, collections)
            _add(control, control_data.kept(redis))
            control.flush()
            os.fsync(control.fileno())
        if _has_data_dir(settings):
            _copy_keys(settings.data_dir.expanduser(), folder)
        return manifest.finish(folder, "qdrant" if settings.store_kind == "qdrant" else "embedded")


def broker(stack: ExitStack, settings: Settings) -> tuple[Redis, Path | None]:
    """Where control data is, and the data directory if it is now ours, with the service stopped."""
    if settings.redis_url is not None:
        return stack.enter_context(connect_blocking(settings.broker)), None
    folder = settings.data_dir.expanduser().absolute()
    if not (folder / BROKER).is_dir():
        raise OperatorError(f"no service has run on {folder}; name its folder with --data-dir, or set REDIS_URL")
    redis = stack.enter_context(connect_blocking(servers.url(data_directory.broker_socket(folder))))
    if _answers(redis):
        return redis, None
    stack.enter_context(data_directory.opened(folder))
    remark(f"the service on {folder} is stopped: its files are read without it")
    return stack.enter_context(stopped_broker.serving(folder / BROKER)), folder


def _answers(redis: Redis) -> bool:
    try:
        return bool(redis.ping())
    except RedisError:
        return False


def _write_faces(
    stack: ExitStack, settings: Settings, redis: Redis, home: Path | None, folder: Path, collections: Sequence[str]
) -> None:
    if settings.store_kind == "qdrant":
        # The client of a server takes 0.75 s to import, which the other commands need not wait for.
        from worker.store.qdrant import snapshots  # noqa: PLC0415 -- see above

        snapshots.save(settings, folder, remark)
        return
    if home is None and (settings.redis_url is None or worker_request.alive(redis)):
        written = served_faces.write_faces(redis, settings.handover, folder, collections, remark)
        remark(f"{written.faces} faces of {written.collections} facedbs")
        return
    if home is None:
        stack.enter_context(data_directory.opened(settings.data_dir))
    _write_stopped(settings, folder, collections)


def _write_stopped(settings: Settings, folder: Path, collections: Sequence[str]) -> None:
    """From the files of a store that nobody has open."""
    from worker.models import custom, identity  # noqa: PLC0415 -- what a worker needs takes seconds to import
    from worker.store import awaiting, faces_file, opening  # noqa: PLC0415 -- likewise
    from worker.store.base import StoreError  # noqa: PLC0415 -- likewise

    space = identity.identity(custom.find(settings.embedder, "embedding", settings.models_dir))
    try:
        with closing(opening.open_store(settings, space)) as store:
            for collection in collections:
                path = faces_path(folder, collection)
                awaiting.await_available(store, collection)
                faces_file.write(path, collection, space, store.points(collection))
            remark(f"{sum(map(store.count, collections))} faces of {len(collections)} facedbs")
    except StoreError as error:
        raise OperatorError(f"the faces cannot be read: {error}") from None


def _add(control: IO[str], entries: Iterable[control_data.Entry]) -> None:
    control.writelines(entry.line() for entry in entries)


def _has_data_dir(settings: Settings) -> bool:
    return settings.redis_url is None or settings.store_kind == "edge"


def _copy_keys(home: Path, folder: Path) -> None:
    """Without them the next start would make a new first key, and the one that callers have would end."""
    for name in KEY_FILES:
        if (home / name).is_file():
            copy = folder / name
            copy.touch(mode=0o600)
            shutil.copyfile(home / name, copy)
