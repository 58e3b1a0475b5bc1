"""Takes the persons of a file into a face database: those that are not there, as they are in the file.

A command does it where the faces are on a Qdrant server; a worker does it for a command (shared/import_request.py),
a batch at a time, while jobs go on. It may be killed and done again: who is there stays as he is.
"""

import time
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, Final

from redis import Redis

from shared.errors import OperatorError, Unavailable
from shared.import_request import REQUEST, Progress, Request
from shared.jobs import AddJob, new_gateway_id, new_job_id, new_request_id
from worker.ledger import START_S, Ledger
from worker.models.identity import Identity
from worker.models.spaces import Spaces
from worker.store import faces_file
from worker.store.base import Point, Store, StoreError
from worker.upkeep.pace import AbandonedError
from worker.upkeep.requests import Events, ProgressReport, RequestPoller

EVENTS: Final = Events("import_begun", "import_ended", "import_crashed", "import_not_understood")

BATCH: Final = 100
"""Persons that are added at once: Qdrant Edge holds the interpreter lock for 1 to 2 ms meanwhile."""

Step = Callable[[Progress], None]
"""Called after each batch with the progress; an exception of it ends the work."""


def take_in(
    ledger: Ledger, store: Store, collection: str, identity: Identity, points: Iterable[Point], step: Step
) -> Progress:
    """Add the persons who are not in the collection, and return how many that were. identity: of their vectors.

    A person whose deletion is claimed (worker/ledger) is left out: a job that is delivered again may still delete it.
    Raises AbandonedError, with the reason, if the collection has another identity or was dropped; StoreError and
    RedisError. What was added until then stays.
    """
    stored = store.identity_of(collection)
    if stored is not None and stored != identity:
        raise AbandonedError(
            f"it has faces of {stored} already, and the file has faces of {identity}, which cannot be compared with "
            "them; import into another facedb"
        )
    store = store.under(identity)
    done = Progress()
    left = iter(points)
    while batch := list(islice(left, BATCH)):
        present = {point.person_id for point in store.get(collection, [point.person_id for point in batch])}
        missing = [point for point in batch if point.person_id not in present]
        added = _add(ledger, store, collection, missing) if missing else 0
        done = Progress(
            read=done.read + len(batch),
            added=done.added + added,
            present=done.present + len(present),
            deleted=done.deleted + len(missing) - added,
        )
        step(done)
    return done


def _add(ledger: Ledger, store: Store, collection: str, points: list[Point]) -> int:
    """Add persons but those whose deletion is claimed, registered as a job that adds them. Returns how many."""
    job = AddJob(job_id=new_job_id(new_gateway_id(), new_request_id()), deadline=0, collection=collection, name=None)
    begun = time.time()
    try:
        ours = ledger.begin_adding(job, [point.person_id for point in points])
    except Unavailable as error:
        raise AbandonedError(f"nothing more can be added: {error.reason}") from None
    written = [point for point in points if point.person_id in ours]
    deleted: Collection[uuid.UUID] = ()
    try:
        if time.time() > begun + START_S:
            raise AbandonedError("the broker answered too late; import again")
        store.add(collection, written)
    finally:
        deleted = ledger.end_adding(job, [point.person_id for point in written])
        for person_id in deleted:
            store.delete(collection, person_id)
    return len(written) - len(deleted)


class Imports(RequestPoller[Request, Progress]):
    """Takes in the persons of requested files. handover: the folder below which it may read."""

    def __init__(self, redis: Redis, ledger: Ledger, store: Store, spaces: Spaces, handover: Path) -> None:
        super().__init__("imports", EVENTS, redis, REQUEST, Request, Progress())
        self._ledger, self._store, self._spaces = ledger, store, spaces
        self._handover = handover

    def _carry_out(self, request: Request, report: ProgressReport) -> Progress:
        progress = Progress()

        def step(done: Progress) -> None:
            nonlocal progress
            progress = done
            report.rest()
            report.write(done)
            report.begin()

        try:
            path = self._path(request)
            identity = self._identity(path)
            self._ledger.skip_names(request.collection, request.names)
            report.begin()
            points = faces_file.read(path)
            done = take_in(self._ledger, self._store, request.collection, identity, points, step)
        except (StoreError, OperatorError, AbandonedError) as error:
            return progress.model_copy(update={"state": "failed", "reason": str(error)})
        return done.model_copy(update={"state": "done"})

    def _path(self, request: Request) -> Path:
        """Return the file of the request, wherever links lead. Raises AbandonedError unless it is below the handover
        folder.
        """
        above, path = self._handover.resolve(), Path(request.file).resolve()
        if above not in path.parents:
            raise AbandonedError(
                f"it reads below {above} alone, its FACESEARCH_BACKUP_DIR or `handover` in its data directory; "
                "name the same one to the command, by that setting or by --data-dir"
            )
        return path

    def _identity(self, path: Path) -> Identity:
        found = faces_file.read_header(path).identity
        if not self._spaces.serves(found):
            raise AbandonedError(f"its faces were made by {found}, and this worker makes {self._spaces.preferred}")
        return Identity.parse(found)

    def _about(self, request: Request) -> Mapping[str, Any]:
        return {"collection": request.collection}
