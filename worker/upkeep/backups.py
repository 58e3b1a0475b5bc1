"""Writes the faces of a backup for a command (shared/backup_request.py), a page at a time, while jobs go on."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from redis import Redis

from shared.backup_request import REQUEST, Progress, Request, faces_path
from worker.models.spaces import Spaces
from worker.store import faces_file
from worker.store.base import PAGE, Point, Store, StoreError
from worker.store.views import served
from worker.upkeep.pace import AbandonedError
from worker.upkeep.requests import Events, ProgressReport, RequestPoller

EVENTS: Final = Events("backup_begun", "backup_ended", "backup_crashed", "backup_not_understood")


class Backups(RequestPoller[Request, Progress]):
    """Writes the faces of requested backups. handover: the folder below which it may write."""

    def __init__(self, redis: Redis, store: Store, spaces: Spaces, handover: Path) -> None:
        super().__init__("backups", EVENTS, redis, REQUEST, Request, Progress())
        self._store = store
        self._spaces = spaces
        self._handover = handover

    def _carry_out(self, request: Request, report: ProgressReport) -> Progress:
        return _Backup(self._store, self._spaces, self._handover, request, report).write()

    def _about(self, request: Request) -> Mapping[str, Any]:
        return {"collections": len(request.collections)}


class _Backup:
    """The faces of one request."""

    def __init__(self, store: Store, spaces: Spaces, handover: Path, request: Request, report: ProgressReport) -> None:
        self._store, self._spaces = store, spaces
        self._handover, self._request, self._report = handover, request, report
        self._collections = self._faces = 0
        self._total: int | None = None

    def write(self) -> Progress:
        """Return how it ended. Raises RedisError."""
        try:
            folder = self._make_folder()
            self._total = sum(map(self._store.count, self._request.collections))
            for collection in self._request.collections:
                path = faces_path(folder, collection)
                store = served(self._store, self._spaces, collection) or self._store
                faces_file.write(path, collection, store.identity, self._paced(store.points(collection)))
                self._collections += 1
                self._report.write(self._progress())
        except OSError as error:
            return self._failed(f"cannot write to {self._request.folder} ({error.strerror})")
        except (StoreError, AbandonedError) as error:
            return self._failed(str(error))
        return self._progress().model_copy(update={"state": "done"})

    def _make_folder(self) -> Path:
        """Make the folder of the request for its owner alone. Raises OSError, and AbandonedError unless it is a new one
        below the handover folder, wherever links lead.
        """
        above, folder = self._handover.resolve(), Path(self._request.folder).resolve()
        if above not in folder.parents:
            raise AbandonedError(
                f"it writes below {above} alone, its FACESEARCH_BACKUP_DIR or `handover` in its data directory; "
                "name the same one to the command, by that setting or by --data-dir"
            )
        above.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.mkdir(mode=0o700)
        return folder

    def _paced(self, points: Iterable[Point]) -> Iterator[Point]:
        """Yield the points, with a rest after each page."""
        self._report.begin()
        for number, point in enumerate(points, 1):
            yield point
            self._faces += 1
            if number % PAGE == 0:
                self._report.write(self._progress())
                self._report.rest()

    def _progress(self) -> Progress:
        return Progress(collections=self._collections, faces=self._faces, total=self._total)

    def _failed(self, reason: str) -> Progress:
        return self._progress().model_copy(update={"state": "failed", "reason": reason})
