"""`facesearch restore`: what a backup holds, put where the settings say. All of it is checked first."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from redis import RedisError

from facesearch.backup import control_data, manifest
from facesearch.cli.backup import BROKER, KEY_FILES
from facesearch.cli.console import backup_only, data_dir_option, format_time, remark, reported, settings_from
from facesearch.cli.control import record_event
from facesearch.embedded import data_directory, stopped_broker, swap
from facesearch.embedded.broker import describe_failure
from shared.errors import OperatorError
from shared.redis_clients import connect_blocking
from shared.settings import Settings

if TYPE_CHECKING:
    from worker.models.identity import Identity
    from worker.store.base import Point, Store

FACES_FOLDER: Final = "faces"
"""Of the embedded store in a data directory."""

STATE: Final = (FACES_FOLDER, BROKER, *KEY_FILES)
"""What a data directory is replaced by."""

BATCH: Final = 500
"""Faces that are added at once."""


@dataclass(frozen=True)
class _Backup:
    """A backup that was checked. entries: control data without records of Idempotency-Keys. faces: the file of each
    collection that the control data knows, none where the faces are snapshots of a Qdrant server.
    """

    folder: Path
    manifest: manifest.Manifest
    identity: "Identity"
    entries: Sequence[control_data.Entry]
    faces: Mapping[str, Path]

    @property
    def collections(self) -> set[str]:
        return set(control_data.collections_in(self.entries))

    def once(self) -> Iterator[control_data.Entry]:
        found = control_data.read(self.folder / manifest.CONTROL)
        return (entry for entry in found if entry.key.startswith(control_data.ONCE))


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False, readable=False))
@click.option("--overwrite", is_flag=True, help="Replace existing data.")
@data_dir_option
@reported
@backup_only
def restore(folder: Path, overwrite: bool, data_dir: Path | None) -> None:
    """Restore the backup in the folder DIR. The service must be stopped."""
    settings = settings_from(data_dir=data_dir)
    if settings.store_kind == "memory":
        raise OperatorError("FACESEARCH_STORE=memory keeps nothing, so nothing can be restored into it")
    backup = _checked(settings, folder.expanduser().absolute())
    try:
        faces = _put(settings, backup, overwrite)
    except RedisError as error:
        raise OperatorError(f"{describe_failure(settings, error)}; then restore again with --overwrite") from None
    except OSError as error:
        raise OperatorError(f"nothing was restored: {error.filename or 'the disk'}: {error.strerror}") from None
    told = "" if faces is None else f"{faces} faces of "
    click.echo(
        f"restored: {told}{len(backup.collections)} facedbs, from the backup of {format_time(backup.manifest.created)}"
    )


def _checked(settings: Settings, folder: Path) -> _Backup:
    """Raises OperatorError unless all of the backup is whole and fits the settings."""
    from worker.models import custom, identity  # noqa: PLC0415 -- what a worker needs takes seconds to import

    made = manifest.read(folder)
    for damage in manifest.damages(folder, made):
        raise OperatorError(damage)
    path = folder / manifest.CONTROL
    entries = [entry for entry in control_data.read(path) if not entry.key.startswith(control_data.ONCE)]
    try:
        known = control_data.collections_in(entries)
    except ValueError:
        raise OperatorError(f"{path} is damaged: the record of a facedb cannot be read") from None
    ours = identity.identity(custom.find(settings.embedder, "embedding", settings.models_dir))
    faces: dict[str, Path] = {}
    if made.faces == "embedded":
        faces = _checked_files(folder, made, known, ours)
    else:
        _check_snapshots(settings, folder, made, ours)
    return _Backup(folder, made, ours, entries, faces)


def _checked_files(folder: Path, made: manifest.Manifest, known: Sequence[str], ours: "Identity") -> dict[str, Path]:
    from worker.store import faces_file  # noqa: PLC0415 -- as above

    files: dict[str, Path] = {}
    for file in made.files:
        if not file.name.startswith(f"{manifest.FACES}/"):
            continue
        path = folder / file.name
        header = faces_file.read_header(path)
        if header.collection not in known:
            remark(f"{header.collection}: left out, as the control data knows no such collection")
            continue
        _check_identity(folder, made, header.identity, ours)
        for _ in faces_file.read(path):
            pass
        files[header.collection] = path
    return files


def _check_snapshots(settings: Settings, folder: Path, made: manifest.Manifest, ours: "Identity") -> None:
    from worker.store.qdrant import snapshots  # noqa: PLC0415 -- as above

    if settings.store_kind != "qdrant":
        raise OperatorError(f"the faces of {folder} are snapshots, which only a Qdrant server reads; set QDRANT_URL")
    for saved in snapshots.checked(folder / manifest.FACES).collections:
        _check_identity(folder, made, saved.identity, ours)
        if saved.placement != settings.placement:
            raise OperatorError(
                f"the faces of {folder} are of placement {saved.placement}; set FACESEARCH_PLACEMENT={saved.placement}"
            )


def _check_identity(folder: Path, made: manifest.Manifest, stored: str, ours: "Identity") -> None:
    from worker.models.identity import remedy  # noqa: PLC0415 -- as above

    if stored != str(ours):
        raise OperatorError(
            f"the faces of {folder}, a backup by release {made.release}, were made by {stored}, and this service makes "
            f"{ours}; {remedy(stored, ours)}"
        )


def _put(settings: Settings, backup: _Backup, overwrite: bool) -> int | None:
    """How many faces, None where the server was given snapshots. Raises OperatorError, RedisError and OSError."""
    with ExitStack() as stack:
        if settings.redis_url is not None:
            _require_no_tenants(settings, overwrite)
        making: Path | None = None
        if settings.redis_url is None or settings.store_kind == "edge":
            home = stack.enter_context(data_directory.opened(settings.data_dir))
            _require_empty(home, overwrite)
            making = stack.enter_context(swap.replacing(home))
        faces = _put_faces(settings, backup, overwrite, making)
        _put_control(settings, backup, making)
        if making is not None:
            for name in KEY_FILES:
                if (backup.folder / name).is_file():
                    (making / name).touch(mode=0o600)
                    shutil.copyfile(backup.folder / name, making / name)
        return faces


def _require_no_tenants(settings: Settings, overwrite: bool) -> None:
    with connect_blocking(settings.broker) as redis:
        tenants = control_data.holds_some(redis)
    if tenants and not overwrite:
        raise OperatorError(
            f"REDIS_URL holds {tenants} tenants (a gateway makes the first when it starts): nothing was restored; "
            "--overwrite replaces them and all that is theirs"
        )


def _require_empty(home: Path, overwrite: bool) -> None:
    held = [name for name in STATE if (home / name).exists()]
    if held and not overwrite:
        raise OperatorError(
            f"{home} holds a service already ({', '.join(held)}): nothing was restored; choose another folder with "
            "--data-dir, or --overwrite replaces it"
        )


def _put_faces(settings: Settings, backup: _Backup, overwrite: bool, making: Path | None) -> int | None:
    from worker.store.base import StoreError  # noqa: PLC0415 -- as above
    from worker.store.opening import open_store  # noqa: PLC0415 -- as above

    if backup.manifest.faces == "qdrant":
        from worker.store.qdrant import snapshots  # noqa: PLC0415 -- as above

        snapshots.load(settings, backup.folder / manifest.FACES, overwrite, remark, backup.collections)
        return None
    where = settings if making is None else settings.model_copy(update={"data_dir": making})
    try:
        with closing(open_store(where, backup.identity)) as store:
            for collection in backup.faces:
                points = store.count(collection)
                if points and not overwrite:
                    raise OperatorError(
                        f"{collection} has {points} faces: nothing was restored; --overwrite replaces them"
                    )
            return sum(_fill(store, collection, path) for collection, path in backup.faces.items())
    except StoreError as error:
        raise OperatorError(f"the faces cannot be written: {error}; mend that, and restore with --overwrite") from None


def _fill(store: "Store", collection: str, path: Path) -> int:
    """How many faces."""
    from worker.store import faces_file  # noqa: PLC0415 -- as above

    store.drop(collection)
    faces = 0
    points = faces_file.read(path)
    while some := list(_first(points)):
        store.add(collection, some)
        faces += len(some)
    return faces


def _first(points: "Iterator[Point]") -> "Iterator[Point]":
    return islice(points, BATCH)


def _put_control(settings: Settings, backup: _Backup, making: Path | None) -> None:
    where: Any
    if settings.redis_url is not None:
        where = connect_blocking(settings.broker, stopped_broker.ANSWER_S)
    elif making is not None:
        where = stopped_broker.serving(making / BROKER)
    with where as redis:
        control_data.put(redis, backup.entries, backup.once())
        record_event(redis, "restore")
