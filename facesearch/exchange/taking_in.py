"""Imports an exported face database: through the worker that has the embedded store, or into a Qdrant server."""

from collections.abc import Callable, Collection
from contextlib import closing, suppress

from pydantic import ValidationError
from redis import Redis, RedisError

from facesearch.backup import worker_request
from facesearch.backup.handed_over import handed_over
from facesearch.embedded.broker import describe_failure
from facesearch.exchange.reading import FacedbFile
from shared.control.migrations import read_migrations
from shared.errors import OperatorError
from shared.heartbeat import Heartbeat, read_heartbeats
from shared.import_request import Progress, Request
from shared.settings import Settings
from shared.worker_request import new_id
from worker.ledger import Ledger
from worker.migrations import Migrations
from worker.models.identity import Identity, remedy
from worker.store import faces_file
from worker.store.base import StoreError
from worker.store.migrated import MigratedStore
from worker.store.opening import backend, configured_spaces
from worker.upkeep.imports import take_in
from worker.upkeep.pace import AbandonedError


def require_served(settings: Settings, redis: Redis, identity: Identity) -> None:
    """Raise OperatorError unless each worker that is alive compares faces of the identity, or without a worker one with
    the settings of this command would. Raises RedisError.
    """
    for preferred, served in _workers(redis) or [_configured(settings)]:
        if str(identity) not in served:
            raise OperatorError(
                f"its faces were made by {identity}, and this service makes {preferred}, which cannot be compared with "
                f"them: nothing was imported; {remedy(str(identity), Identity.parse(preferred))}"
            )


def _workers(redis: Redis) -> list[tuple[str, Collection[str]]]:
    """Return of each worker that is alive the identity of new facedbs, and all that it serves."""
    found: list[tuple[str, Collection[str]]] = []
    for record in read_heartbeats(redis).values():
        # That of another release may not be understood.
        with suppress(ValidationError):
            if record is not None:
                heartbeat = Heartbeat.model_validate_json(record)
                found.append((heartbeat.identity, {heartbeat.identity, *heartbeat.identities}))
    return found


def _configured(settings: Settings) -> tuple[str, Collection[str]]:
    spaces = configured_spaces(settings)
    return str(spaces.preferred), set(map(str, spaces.preprocessings))


def bring_in(
    settings: Settings, redis: Redis, collection: str, file: FacedbFile, advance: Callable[[int], None]
) -> Progress:
    """Add the persons of a checked file who are not in the collection, and return how many that were. advance: called
    with the number of persons so far. Raises OperatorError; what was added until then stays, and the same command goes
    on.
    """
    try:
        _require_no_migration(redis, collection)
        if backend(settings).url is not None:
            return _into_store(settings, redis, collection, file, advance)
        return _through_worker(settings, redis, collection, file, advance)
    except RedisError as error:
        raise OperatorError(f"{describe_failure(settings, error)}; import again to go on") from None
    except OSError as error:
        raise OperatorError(
            f"cannot write below {settings.handover} ({error.strerror}); import again to go on"
        ) from None
    except (StoreError, AbandonedError) as error:
        raise OperatorError(f"{worker_request.IMPORT.failed}: {error}") from None


def _require_no_migration(redis: Redis, collection: str) -> None:
    """Raise OperatorError while the facedb has two collections: persons would be in one of them only."""
    migration = read_migrations(redis).get(collection)
    if migration is not None and migration.other is not None:
        raise OperatorError("the facedb is being migrated: nothing was imported; end the migration first, or undo it")


def _into_store(
    settings: Settings, redis: Redis, collection: str, file: FacedbFile, advance: Callable[[int], None]
) -> Progress:
    ledger = Ledger(redis, redis)
    ledger.skip_names(collection, file.about.automatic_names)
    with closing(MigratedStore(backend(settings).open(configured_spaces(settings)), Migrations(redis))) as store:
        return take_in(ledger, store, collection, file.identity, file.points(), lambda done: advance(done.read))


def _through_worker(
    settings: Settings, redis: Redis, collection: str, file: FacedbFile, advance: Callable[[int], None]
) -> Progress:
    if settings.redis_url is not None and not worker_request.alive(redis):
        raise OperatorError("no worker runs, and a worker has the faces: start one, and import again")
    request_id = new_id()
    with handed_over(settings.handover, request_id) as folder:
        written = folder / "faces.jsonl"
        faces_file.write(written, collection, file.identity, file.points())
        request = Request(id=request_id, file=str(written), collection=collection, names=file.about.automatic_names)

        def read_so_far(progress: Progress) -> None:
            advance(progress.read)

        with worker_request.requested(redis, worker_request.IMPORT, request, read_so_far) as wait:
            return wait()
