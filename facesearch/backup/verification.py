"""Checks a data directory or a backup, and reports each problem with its remedy."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from redis import RedisError

from facesearch.backup import control_data, manifest
from facesearch.backup.consistency import Consistency
from facesearch.backup.counted import Counted
from facesearch.embedded import data_directory, stopped_broker
from facesearch.embedded.data_directory import BROKER
from shared.backup_request import faces_path
from shared.errors import OperatorError
from shared.progress import Say, Show
from shared.settings import Settings
from worker.models.identity import Identity, remedy
from worker.store import faces_file
from worker.store.backend import Backend
from worker.store.opening import backend, configured_spaces

_ID_DIGITS: Final = 32
"""Hex digits of a person_id."""


class Verification:
    """Says each problem as it is found, and counts what it has seen. show: called with the progress of a backup."""

    def __init__(self, settings: Settings, say: Say, show: Show) -> None:
        self._settings = settings
        self._say, self._show = say, show
        self.subject = Path()
        self.problems = self.persons = self.collections = 0
        self._found_in: dict[str, dict[str, str]] = {}  # by tenant: collection by person_id

    def summary(self) -> str:
        found = f"{self.persons} persons in {self.collections} collections"
        state = f"{self.problems} things are wrong" if self.problems else "nothing is wrong"
        return f"{self.subject}: {found}; {state}"

    def backup(self, folder: Path) -> None:
        """Check the backup in the folder."""
        self.subject = folder
        try:
            made = manifest.read(folder)
        except OperatorError as error:
            self._report(str(error))
            return
        for damage in manifest.damages(folder, made, self._show):
            self._report(f"{damage}; use another backup")
        listed = {file.name for file in made.files} | {manifest.MANIFEST}
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path.relative_to(folder).as_posix() not in listed:
                self._report(f"{path} is no part of the backup; remove it")
        control = self._control(control_data.read(folder / manifest.CONTROL))
        if made.faces == "embedded":
            self._faces_files(folder, made, control)
        else:
            self.collections = len(control.collections) if control else 0

    def data_directory(self) -> None:
        """Check the data directory of the settings. Raises OperatorError if there is none, or a service runs on it."""
        home = self.subject = self._settings.data_dir.expanduser().absolute()
        if not home.is_dir():
            raise OperatorError(f"there is no data directory {home}; name it with --data-dir")
        store = backend(self._settings.model_copy(update={"data_dir": home}))
        if self._settings.redis_url is not None and store.folder is None:
            raise OperatorError("nothing is embedded where REDIS_URL and QDRANT_URL are set; give a backup to check")
        with _stopped(home):
            control = self._broker(home) if self._settings.redis_url is None else None
            if store.folder is not None:
                self._store(store, store.folder, control)

    def _broker(self, home: Path) -> Consistency | None:
        if not (home / BROKER).is_dir():
            self._report(f"{home} has no {BROKER}: no service has run on it, or its control data is lost")
            return None
        try:
            # Not repaired silently: a check has to report it.
            with stopped_broker.serving(home / BROKER, "--aof-load-truncated", "no") as redis:
                return self._control(control_data.everything(redis))
        except OperatorError as error:
            self._report(
                f"{error}; if only its end is cut off, as by a power cut, `facesearch up` goes on without the last "
                "command; else restore a backup"
            )
        except RedisError as error:
            self._report(f"the broker ended while it was read ({type(error).__name__}); see {home / BROKER}/valkey.log")
        return None

    def _control(self, entries: Iterator[control_data.Entry]) -> Consistency | None:
        try:
            control = Consistency(entries)
        except OperatorError as error:
            self._report(f"{error}; use another backup")
            return None
        for problem in control.problems():
            self._report(problem)
        return control

    def _faces_files(self, folder: Path, made: manifest.Manifest, control: Consistency | None) -> None:
        spaces = configured_spaces(self._settings)
        paths = [folder / file.name for file in made.files if file.name.startswith(f"{manifest.FACES}/")]
        paths = [path for path in paths if path.is_file()]
        read = Counted(self._show, sum(map(faces_file.count, paths)), "persons checked")
        for path in paths:
            try:
                header = faces_file.read_header(path)
                if faces_path(path.parent, header.collection) != path:
                    self._report(f"{path} is the file of {header.collection}; give it that name")
                if not spaces.serves(header.identity):
                    self._report_foreign(str(path), header.identity, spaces.preferred)
                self.collections += 1
                self._check_owner(header.collection, control, "a restore leaves it out")
                for point in read.through(faces_file.read(path)):
                    self._check_unique(header.collection, point.person_id.hex, control)
            except OperatorError as error:
                self._report(f"{error}; use another backup")
        self.persons = read.persons

    def _store(self, store: Backend, folder: Path, control: Consistency | None) -> None:
        spaces = configured_spaces(self._settings)
        foreign = store.foreign(spaces, None)
        if foreign is None:
            return  # no face was ever added
        for collection, stored in foreign.items():
            self.collections += 1
            self._report_foreign(collection, stored, spaces.preferred)
            self._check_owner(collection, control, f"remove {folder / collection}")
        for collection, found in store.examine(spaces):
            self.collections += 1
            self.persons += found.faces
            if found.problem:
                self._report(f"{collection}: {found.problem}; restore a backup, or drop its facedb")
            self._check_owner(collection, control, f"remove {folder / collection}")
            for begin in range(0, len(found.ids), _ID_DIGITS):
                self._check_unique(collection, found.ids[begin : begin + _ID_DIGITS], control)

    def _report_foreign(self, subject: str, stored: str, ours: Identity) -> None:
        self._report(f"{subject} has faces of {stored}, and this service makes {ours}; {remedy(stored, ours)}")

    def _check_owner(self, collection: str, control: Consistency | None, advice: str) -> None:
        """Report a collection that no facedb has."""
        if control is not None and collection not in control.collections and collection not in control.dropped:
            self._report(f"{collection}: no facedb has this collection, so nobody can reach its faces; {advice}")

    def _check_unique(self, collection: str, person_id: str, control: Consistency | None) -> None:
        """Report a face that another collection of the tenant has, too."""
        tenant = control.collections.get(collection) if control else None
        if tenant is None:
            return
        first = self._found_in.setdefault(tenant, {}).setdefault(person_id, collection)
        owners = control.owners if control else {}
        if first != collection and owners.get(first, first) != owners.get(collection, collection):
            self._report(f"{collection}: face {person_id} is in {first} too; delete one of the two")

    def _report(self, problem: str) -> None:
        self.problems += 1
        self._say(f"wrong: {problem}")


@contextmanager
def _stopped(home: Path) -> Iterator[None]:
    """Lock the data directory for the block. Raises OperatorError if a service runs on it."""
    with ExitStack() as stack:
        try:
            stack.enter_context(data_directory.opened(home))
        except OperatorError as error:
            raise OperatorError(
                f"{error}. A service that runs is checked by a backup: `facesearch backup DIR`, `facesearch verify DIR`"
            ) from None
        yield
