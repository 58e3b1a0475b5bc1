"""Exports a face database: from the worker that has the embedded store, from a stopped service, or from a server."""

from contextlib import closing
from functools import partial
from pathlib import Path

from redis import Redis, RedisError

from facesearch.backup import served_faces, worker_request
from facesearch.backup.counted import Counted
from facesearch.embedded.broker import describe_failure
from facesearch.exchange import writing
from facesearch.exchange.about import About
from shared.backup_request import faces_path
from shared.control.inventory import stored_as
from shared.errors import OperatorError
from shared.progress import Show
from shared.settings import Settings
from worker.ledger import Ledger
from worker.migrations import Migrations
from worker.models.identity import Identity
from worker.store import awaiting, faces_file
from worker.store.base import StoreError
from worker.store.migrated import MigratedStore
from worker.store.opening import backend, configured_spaces
from worker.store.views import matching


def export(
    settings: Settings, redis: Redis, home: Path | None, collection: str, facedb: str, path: Path, show: Show
) -> About:
    """Write a face database into a new file, and return what it holds. home: the data directory, if the service is
    stopped. collection: of the facedb of that name. show: called with the progress. Raises OperatorError.
    """
    try:
        with writing.workplace(path) as folder:
            if home is not None or backend(settings).url is not None:
                return _from_store(settings, redis, home, collection, facedb, path, folder, show)
            return _from_worker(settings, redis, collection, facedb, path, folder, show)
    except RedisError as error:
        raise OperatorError(f"{describe_failure(settings, error)}; nothing was exported") from None
    except OSError as error:
        raise OperatorError(
            f"cannot write {path} ({error.strerror}), so nothing was exported; choose another place"
        ) from None
    except StoreError as error:
        raise OperatorError(f"the faces cannot be read: {error}; nothing was exported") from None


def _from_store(
    settings: Settings,
    redis: Redis,
    home: Path | None,
    collection: str,
    facedb: str,
    path: Path,
    folder: Path,
    show: Show,
) -> About:
    if home is not None:
        settings = settings.model_copy(update={"data_dir": home})
    with closing(MigratedStore(backend(settings).open(configured_spaces(settings)), Migrations(redis))) as opened:
        store = matching(opened, collection)
        awaiting.await_available(store, collection)
        points = Counted(show, store.count(collection)).through(store.points(collection))
        names_drawn = partial(Ledger(redis, redis).names_drawn, collection)
        return writing.write(path, folder, facedb, store.identity, points, names_drawn)


def _from_worker(
    settings: Settings, redis: Redis, collection: str, facedb: str, path: Path, folder: Path, show: Show
) -> About:
    """The worker writes a file of faces, as for a backup, and this process makes the export of it."""
    if settings.redis_url is not None and not worker_request.alive(redis):
        raise OperatorError("no worker runs, and a worker has the faces: start one, and export again")
    stored = stored_as(redis, collection)
    ended = served_faces.write_faces(redis, settings.handover, folder, [stored], show, worker_request.EXPORT)
    written = faces_path(folder, stored)
    identity = Identity.parse(faces_file.read_header(written).identity)
    points = Counted(show, ended.faces, "persons exported").through(faces_file.read(written))
    names_drawn = partial(Ledger(redis, redis).names_drawn, collection)
    return writing.write(path, folder, facedb, identity, points, names_drawn)
