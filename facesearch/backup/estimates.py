"""How often strangers of a facedb reach a confidence: asked of a worker, or of the faces of a stopped service."""

from contextlib import closing
from functools import partial
from pathlib import Path

from redis import Redis

from facesearch.backup import worker_request
from shared.confidence import Estimate, Progress, Request
from shared.errors import OperatorError
from shared.progress import Show
from shared.settings import Settings
from shared.worker_request import new_id


def estimate(settings: Settings, redis: Redis, home: Path | None, collection: str, show: Show) -> Estimate:
    """Return the estimate for a facedb. home: the data directory, if the service is stopped. show: called with the
    faces that are read. Raises RedisError, and OperatorError when nothing can be said.
    """
    if home is not None:
        return _stopped(settings, redis, home, collection, show)
    if settings.redis_url is not None and not worker_request.alive(redis):
        raise OperatorError("no worker runs, and a worker has the faces: start one, and ask again")
    request = Request(id=new_id(), collection=collection)

    def read_so_far(progress: Progress) -> None:
        show("faces", progress.faces, progress.total)

    with worker_request.requested(redis, worker_request.ESTIMATE, request, read_so_far) as wait:
        found = wait().estimate
    if found is None:
        raise OperatorError("the worker left no estimate; see its log, and ask again")
    return found


def _stopped(settings: Settings, redis: Redis, home: Path, collection: str, show: Show) -> Estimate:
    """Estimate in a data directory that no other process has open."""
    # A gateway's image, where the command asks a worker, has no NumPy.
    from worker.migrations import Migrations  # noqa: PLC0415 -- see above
    from worker.models.selection import calibrations_in_use  # noqa: PLC0415 -- see above
    from worker.store.base import StoreError  # noqa: PLC0415 -- see above
    from worker.store.migrated import MigratedStore  # noqa: PLC0415 -- see above
    from worker.store.opening import configured_spaces, open_store  # noqa: PLC0415 -- see above
    from worker.upkeep.estimates import estimate as estimate_here  # noqa: PLC0415 -- see above
    from worker.upkeep.pace import AbandonedError  # noqa: PLC0415 -- see above

    calibrations = calibrations_in_use(settings)
    settings, spaces = settings.model_copy(update={"data_dir": home}), configured_spaces(settings)
    try:
        with closing(MigratedStore(open_store(settings, spaces), Migrations(redis))) as store:
            return estimate_here(store, spaces, collection, calibrations, partial(show, "faces"))
    except (AbandonedError, StoreError) as error:
        raise OperatorError(f"{worker_request.ESTIMATE.failed}: {error}") from None
