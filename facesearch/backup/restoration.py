"""Restores a backup into the places that the settings name, with the service stopped. All of it is checked first."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final, cast

from redis import Redis, RedisError

from facesearch.backup import control_data, manifest
from facesearch.backup.counted import Counted
from facesearch.backup.writer import KEY_FILES, copy_keys
from facesearch.embedded import data_directory, stopped_broker, swap
from shared.call_log.heads import HEADS
from shared.errors import OperatorError
from shared.progress import Say, Show
from shared.redis_clients import connect_blocking
from shared.settings import Settings
from worker.models.identity import Identity, remedy
from worker.models.spaces import Spaces
from worker.store import faces_file
from worker.store.backend import Backend
from worker.store.base import Store, StoreError
from worker.store.opening import backend, configured_spaces

REPLACED: Final = (data_directory.FACES, data_directory.BROKER, *KEY_FILES)
"""Entries of a data directory that a restore replaces."""

BATCH: Final = 500
"""Faces that are added at once."""


@dataclass(frozen=True)
class Backup:
    """A backup that was checked. entries: control data without records of Idempotency-Keys. faces: the file of each
    collection that the control data knows; none where the faces are snapshots of a Qdrant server. persons: how many
    these files have.
    """

    folder: Path
    manifest: manifest.Manifest
    spaces: Spaces
    entries: Sequence[control_data.Entry]
    faces: Mapping[str, Path]
    persons: int

    @property
    def collections(self) -> set[str]:
        return set(control_data.collections_in(self.entries))

    def records(self) -> Iterator[control_data.Entry]:
        """The records of Idempotency-Keys."""
        found = control_data.read(self.folder / manifest.CONTROL)
        return (entry for entry in found if entry.key.startswith(control_data.ONCE))


def check(settings: Settings, folder: Path, say: Say, show: Show) -> Backup:
    """Return the backup. say, show: called with the progress. Raises OperatorError unless all of it is whole and fits
    the settings.
    """
    store = backend(settings)
    if not store.durable:
        raise OperatorError("FACESEARCH_STORE=memory keeps nothing, so nothing can be restored into it")
    made = manifest.read(folder)
    for damage in manifest.damages(folder, made, show):
        raise OperatorError(damage)
    path = folder / manifest.CONTROL
    entries = [entry for entry in control_data.read(path) if not entry.key.startswith(control_data.ONCE)]
    try:
        known = control_data.collections_in(entries)
    except ValueError:
        raise OperatorError(f"{path} is damaged: the record of a facedb cannot be read") from None
    spaces = configured_spaces(settings)
    faces: dict[str, Path] = {}
    persons = 0
    if made.faces == "embedded":
        faces = _check_files(folder, made, known, spaces, say)
        persons = _check_persons(list(faces.values()), show)
    else:
        _check_snapshots(store, folder, made, spaces)
    return Backup(folder, made, spaces, entries, faces, persons)


def restore(
    settings: Settings, backup: Backup, overwrite: bool, say: Say, show: Show, done: Callable[[Redis], None]
) -> int | None:
    """Put back what the backup holds and return how many persons that are; None where a server was given snapshots.
    say, show: called with the progress. done: called with the restored control data. Raises OperatorError, RedisError
    and OSError.
    """
    with ExitStack() as stack:
        if settings.redis_url is not None:
            _require_no_tenants(settings, overwrite)
        replacement: Path | None = None
        log_heads: dict[bytes, bytes] = {}
        if settings.redis_url is None or backend(settings).folder is not None:
            home = stack.enter_context(data_directory.opened(settings.data_dir))
            _require_empty(home, overwrite)
            if settings.redis_url is None:
                log_heads = _heads_of_call_log(settings, home, say)
            replacement = stack.enter_context(swap.replacing(home))
            settings = settings.model_copy(update={"data_dir": replacement})
        persons = _put_faces(settings, backup, overwrite, say, show)
        with _control(settings) as redis:
            control_data.put(redis, backup.entries, backup.records())
            for chain, head in log_heads.items():
                redis.hset(HEADS, chain, head)
            done(redis)
        if replacement is not None:
            copy_keys(backup.folder, replacement)
        return persons


def _check_files(
    folder: Path, made: manifest.Manifest, known: Sequence[str], spaces: Spaces, say: Say
) -> dict[str, Path]:
    """Return the file of each known collection."""
    files: dict[str, Path] = {}
    for file in made.files:
        if not file.name.startswith(f"{manifest.FACES}/"):
            continue
        path = folder / file.name
        header = faces_file.read_header(path)
        if header.collection not in known:
            say(f"{header.collection}: left out, as the control data knows no such collection")
            continue
        _check_identity(folder, made, header.identity, spaces)
        files[header.collection] = path
    return files


def _check_persons(files: Sequence[Path], show: Show) -> int:
    """Read every person of the files, and return how many they are."""
    checked = Counted(show, sum(map(faces_file.count, files)), "persons checked")
    for path in files:
        for _ in checked.through(faces_file.read(path)):
            pass
    return checked.persons


def _check_snapshots(store: Backend, folder: Path, made: manifest.Manifest, spaces: Spaces) -> None:
    if store.snapshots is None:
        raise OperatorError(f"the faces of {folder} are snapshots, which only a Qdrant server reads; set QDRANT_URL")
    for saved in store.snapshots.checked(folder / manifest.FACES):
        _check_identity(folder, made, saved.identity, spaces)
        if saved.placement != store.snapshots.placement:
            raise OperatorError(
                f"the faces of {folder} are of placement {saved.placement}; set FACESEARCH_PLACEMENT={saved.placement}"
            )


def _check_identity(folder: Path, made: manifest.Manifest, stored: str, spaces: Spaces) -> None:
    if not spaces.serves(stored):
        ours = spaces.preferred
        raise OperatorError(
            f"the faces of {folder}, a backup by release {made.release}, were made by {stored}, and this service makes "
            f"{ours}; {remedy(stored, ours)}"
        )


def _require_no_tenants(settings: Settings, overwrite: bool) -> None:
    with connect_blocking(settings.broker) as redis:
        tenants = control_data.count_tenants(redis)
    if tenants and not overwrite:
        raise OperatorError(
            f"REDIS_URL holds {tenants} tenants (a gateway makes the first when it starts): nothing was restored; "
            "--overwrite replaces them and all that is theirs"
        )


def _require_empty(home: Path, overwrite: bool) -> None:
    held = [name for name in REPLACED if (home / name).exists()]
    if held and not overwrite:
        raise OperatorError(
            f"{home} holds a service already ({', '.join(held)}): nothing was restored; choose another folder with "
            "--data-dir, or --overwrite replaces it"
        )


def _heads_of_call_log(settings: Settings, home: Path, say: Say) -> dict[bytes, bytes]:
    """Return the heads of the call log, whose files stay, from the broker that is replaced; none without a log, or if
    that broker cannot be read.
    """
    if not (settings.call_log_folder.is_dir() and (home / data_directory.BROKER).is_dir()):
        return {}
    try:
        with stopped_broker.serving(home / data_directory.BROKER) as redis:
            return cast("dict[bytes, bytes]", redis.hgetall(HEADS))
    except (OperatorError, RedisError) as error:
        say(f"the heads of the call log are lost, so its present chains cannot be checked to their ends: {error}")
        return {}


def _put_faces(settings: Settings, backup: Backup, overwrite: bool, say: Say, show: Show) -> int | None:
    store = backend(settings)
    if backup.manifest.faces == "qdrant" and store.snapshots is not None:
        store.snapshots.load(backup.folder / manifest.FACES, overwrite, say, backup.collections)
        return None
    try:
        with closing(store.open(backup.spaces)) as opened:
            for collection in backup.faces:
                points = opened.count(collection)
                if points and not overwrite:
                    raise OperatorError(
                        f"{collection} has {points} faces: nothing was restored; --overwrite replaces them"
                    )
            restored = Counted(show, backup.persons, "persons restored")
            for collection, path in backup.faces.items():
                _fill(opened, collection, path, restored)
            return restored.persons
    except StoreError as error:
        raise OperatorError(f"the faces cannot be written: {error}; mend that, and restore with --overwrite") from None


def _fill(store: Store, collection: str, path: Path, restored: Counted) -> None:
    """Replace the faces of a collection by those of the file, of the same identity."""
    store.drop(collection)
    store = store.under(Identity.parse(faces_file.read_header(path).identity))
    points = restored.through(faces_file.read(path))
    while batch := list(islice(points, BATCH)):
        store.add(collection, batch)


def _control(settings: Settings) -> AbstractContextManager[Redis]:
    """Return a client of the broker to restore into."""
    if settings.redis_url is not None:
        return connect_blocking(settings.broker, stopped_broker.ANSWER_S)
    return stopped_broker.serving(settings.data_dir / data_directory.BROKER)
