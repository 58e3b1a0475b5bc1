"""`facesearch verify`: whether a data directory or a backup is what it should be, and what to do where it is not."""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from redis import RedisError

from facesearch.backup import control_data, manifest
from facesearch.backup.consistency import Consistency
from facesearch.cli.backup import BROKER
from facesearch.cli.console import backup_only, data_dir_option, reported, settings_from
from facesearch.cli.restore import FACES_FOLDER
from facesearch.embedded import data_directory, stopped_broker
from shared.backup_request import faces_path
from shared.errors import OperatorError
from shared.settings import Settings

if TYPE_CHECKING:
    from worker.models.identity import Identity

Say = Callable[[str], None]

_ID: Final = 32
"""Hex digits of a person_id."""


@click.command()
@click.argument(
    "folder", metavar="[DIR]", type=click.Path(path_type=Path, file_okay=False, readable=False), required=False
)
@data_dir_option
@reported
@backup_only
def verify(folder: Path | None, data_dir: Path | None) -> None:
    """Check the backup in DIR or, without DIR, the data directory.

    The service of a data directory must be stopped. Prints a line for each problem, with its remedy, and exits with
    status 1 if there is any.
    """
    settings = settings_from(data_dir=data_dir)
    checking = _Checking(settings, click.echo)
    if folder is None:
        checking.data_directory()
    else:
        checking.backup(folder.expanduser().absolute())
    click.echo(checking.summary())
    sys.exit(1 if checking.wrong else 0)


@contextmanager
def _stopped(home: Path) -> Iterator[None]:
    """Raises OperatorError if a service runs on the data directory."""
    with ExitStack() as stack:
        try:
            stack.enter_context(data_directory.opened(home))
        except OperatorError as error:
            raise OperatorError(
                f"{error}. A service that runs is checked by a backup: `facesearch backup DIR`, `facesearch verify DIR`"
            ) from None
        yield


class _Checking:
    """Says what is wrong as it is found, and counts."""

    def __init__(self, settings: Settings, say: Say) -> None:
        self._settings = settings
        self._say = say
        self._subject = Path()
        self.wrong = self.faces = self.collections = 0
        self._owners: dict[str, dict[str, str]] = {}  # by tenant: collection by person_id

    def summary(self) -> str:
        found = f"{self.faces} faces in {self.collections} collections"
        state = f"{self.wrong} things are wrong" if self.wrong else "nothing is wrong"
        return f"{self._subject}: {found}; {state}"

    def backup(self, folder: Path) -> None:
        self._subject = folder
        try:
            made = manifest.read(folder)
        except OperatorError as error:
            self._found(str(error))
            return
        for damage in manifest.damages(folder, made):
            self._found(f"{damage}; use another backup")
        listed = {file.name for file in made.files} | {manifest.MANIFEST}
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path.relative_to(folder).as_posix() not in listed:
                self._found(f"{path} is no part of the backup; remove it")
        control = self._control(control_data.read(folder / manifest.CONTROL))
        if made.faces == "embedded":
            self._faces_files(folder, made, control)
        else:
            self.collections = len(control.collections) if control else 0

    def data_directory(self) -> None:
        """Raises OperatorError if there is none, or a service runs on it."""
        home = self._subject = self._settings.data_dir.expanduser().absolute()
        if not home.is_dir():
            raise OperatorError(f"there is no data directory {home}; name it with --data-dir")
        if self._settings.redis_url is not None and self._settings.store_kind != "edge":
            raise OperatorError("nothing is embedded where REDIS_URL and QDRANT_URL are set; give a backup to check")
        with _stopped(home):
            control = self._broker(home) if self._settings.redis_url is None else None
            if self._settings.store_kind == "edge":
                self._store(home / FACES_FOLDER, control)

    def _broker(self, home: Path) -> Consistency | None:
        if not (home / BROKER).is_dir():
            self._found(f"{home} has no {BROKER}: no service has run on it, or its control data is lost")
            return None
        try:
            # Not repaired silently: whoever asks wants to know.
            with stopped_broker.serving(home / BROKER, "--aof-load-truncated", "no") as redis:
                return self._control(control_data.everything(redis))
        except OperatorError as error:
            self._found(
                f"{error}; if only its end is cut off, as by a power cut, `facesearch up` goes on without the last "
                "command; else restore a backup"
            )
        except RedisError as error:
            self._found(f"the broker ended while it was read ({type(error).__name__}); see {home / BROKER}/valkey.log")
        return None

    def _control(self, entries: Iterator[control_data.Entry]) -> Consistency | None:
        try:
            control = Consistency(entries)
        except OperatorError as error:
            self._found(f"{error}; use another backup")
            return None
        for problem in control.problems():
            self._found(problem)
        return control

    def _faces_files(self, folder: Path, made: manifest.Manifest, control: Consistency | None) -> None:
        from worker.store import faces_file  # noqa: PLC0415 -- what a worker needs takes seconds to import

        ours = self._identity()
        for file in made.files:
            path = folder / file.name
            if not file.name.startswith(f"{manifest.FACES}/") or not path.is_file():
                continue
            try:
                header = faces_file.read_header(path)
                if faces_path(path.parent, header.collection) != path:
                    self._found(f"{path} is the file of {header.collection}; give it that name")
                if header.identity != str(ours):
                    self._stranger(str(path), header.identity, ours)
                self.collections += 1
                self._require_owner(header.collection, control, "a restore leaves it out")
                for point in faces_file.read(path):
                    self.faces += 1
                    self._own(header.collection, point.person_id.hex, control)
            except OperatorError as error:
                self._found(f"{error}; use another backup")

    def _store(self, folder: Path, control: Consistency | None) -> None:
        from worker.store.edge import files  # noqa: PLC0415 -- as above
        from worker.store.edge.examine import examine  # noqa: PLC0415 -- as above

        if not folder.is_dir():
            return  # no face was ever added
        ours, names = self._identity(), files.names(folder)
        strangers = files.strangers(folder, names, str(ours))
        for collection, stored in strangers.items():
            self.collections += 1
            self._stranger(collection, stored, ours)
            self._require_owner(collection, control, f"remove {folder / collection}")
        for collection, found in examine(folder, ours, [name for name in names if name not in strangers]):
            self.collections += 1
            self.faces += found.faces
            if found.problem:
                self._found(f"{collection}: {found.problem}; restore a backup, or drop its facedb")
            self._require_owner(collection, control, f"remove {folder / collection}")
            for begin in range(0, len(found.ids), _ID):
                self._own(collection, found.ids[begin : begin + _ID], control)

    def _stranger(self, subject: str, stored: str, ours: "Identity") -> None:
        from worker.models.identity import remedy  # noqa: PLC0415 -- as above

        self._found(f"{subject} has faces of {stored}, and this service makes {ours}; {remedy(stored, ours)}")

    def _require_owner(self, collection: str, control: Consistency | None, advice: str) -> None:
        if control is not None and collection not in control.collections and collection not in control.dropped:
            self._found(f"{collection}: no facedb has this collection, so nobody can reach its faces; {advice}")

    def _own(self, collection: str, person_id: str, control: Consistency | None) -> None:
        tenant = control.collections.get(collection) if control else None
        if tenant is None:
            return
        owners = self._owners.setdefault(tenant, {})
        first = owners.setdefault(person_id, collection)
        if first != collection:
            self._found(f"{collection}: face {person_id} is in {first} too; delete one of the two")

    def _identity(self) -> "Identity":
        from worker.models import custom, identity  # noqa: PLC0415 -- as above

        return identity.identity(custom.find(self._settings.embedder, "embedding", self._settings.models_dir))

    def _found(self, problem: str) -> None:
        self.wrong += 1
        self._say(f"wrong: {problem}")
