"""The steps of a migration that need workers, on a connection to control data."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing

from pydantic import SecretStr

from facesearch.bulk.photos import Listing
from facesearch.embedded.broker import broker_url, images_url
from facesearch.migration.filling import Filled, compare, fill, is_worse
from facesearch.migration.jobs import MigrationJobs
from facesearch.migration.photos import Persons
from facesearch.migration.workers import require_both
from shared.control import Compared, Control, Facedb, Migration, Unknown
from shared.errors import OperatorError
from shared.operator_jobs import OperatorJobs
from shared.redis_clients import connect
from shared.settings import Settings


@asynccontextmanager
async def _jobs(control: Control, settings: Settings, tenant: str, name: str) -> AsyncIterator[MigrationJobs]:
    facedb, _ = await found(control, tenant, name)
    reached = settings.model_copy(update={"redis_url": SecretStr(broker_url(settings))})
    async with connect(images_url(settings)) as images:
        with closing(OperatorJobs(control, reached)) as jobs:
            yield MigrationJobs(jobs, images, tenant, facedb)


async def found(control: Control, tenant: str, name: str) -> tuple[Facedb, Migration | None]:
    """Return the facedb, and its migration. Raises Unknown."""
    await control.tenant(tenant)
    facedb = await control.facedb(tenant, name)
    if facedb is None:
        raise Unknown.facedb(tenant, name)
    return facedb, await control.migration(tenant, name)


async def planned(control: Control, settings: Settings, tenant: str, name: str) -> tuple[str, str] | None:
    """Return the identities of the present model and of the new one, to begin a migration with; None if it has begun.
    Raises OperatorError if there is nothing to do, or not all workers have both models.
    """
    _, migration = await found(control, tenant, name)
    if migration is not None and migration.other is not None:
        if migration.state != "filling":
            raise OperatorError("it is switched already: --rollback goes back, --finish ends the migration")
        await require_both(control.redis, (migration.current.identity, migration.other.identity))
        return None
    async with _jobs(control, settings, tenant, name) as jobs:
        plan = await jobs.plan()
    if plan.identity is None:
        raise OperatorError(f"facedb {name} has no faces: what is added to it is of the new model anyway")
    if plan.identity == plan.target:
        raise OperatorError(
            f"the faces of {name} are of the model of new facedbs already, {plan.target.partition(':')[0]}; "
            "FACESEARCH_EMBEDDER of the workers names the new model, FACESEARCH_SECOND_EMBEDDER the present one"
        )
    await require_both(control.redis, (plan.identity, plan.target))
    return plan.identity, plan.target


async def persons_of(control: Control, settings: Settings, tenant: str, name: str) -> Persons:
    """Make both collections alike, and return the persons. Raises OperatorError."""
    _, migration = await found(control, tenant, name)
    if migration is not None and migration.other is not None:
        await require_both(control.redis, (migration.current.identity, migration.other.identity))
    async with _jobs(control, settings, tenant, name) as jobs:
        return await _persons(jobs)


async def filled_from(
    control: Control,
    settings: Settings,
    tenant: str,
    name: str,
    listed: Listing,
    filled: Filled,
    *,
    most_at_once: int,
    by_face: bool,
    advance: Callable[[], None],
) -> Compared | None:
    """Fill the collection of the new model until all photos are done, or until SIGINT or SIGTERM and the photos on
    their way. Return how both models compare; None if it was stopped. filled: counts what is done. Raises
    OperatorError.
    """
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with _jobs(control, settings, tenant, name) as jobs:
        persons = await _persons(jobs)
        await fill(
            jobs,
            listed.photos,
            persons,
            filled,
            most_at_once=most_at_once,
            by_face=by_face,
            stop=stop,
            advance=advance,
        )
        return None if stop.is_set() else await compare(jobs, listed.photos)


async def _persons(jobs: MigrationJobs) -> Persons:
    persons = Persons()
    async for person in jobs.reconcile():
        persons.add(person)
    return persons


def require_as_good(migration: Migration | None) -> None:
    """Raise OperatorError unless the new model was compared with the former, and is not worse."""
    if migration is None or migration.state != "filling":
        return
    if migration.compared is None:
        raise OperatorError("both models were not compared yet, which --photos does; --force switches without")
    if is_worse(migration.compared):
        raise OperatorError(f"{described(migration.compared)} That is worse; --force switches nevertheless")


def described(compared: Compared) -> str:
    """Return how both models compare, in words."""
    return (
        f"Of {compared.photos} photos both models found the same person first for {compared.same}. A person reached 80 "
        f"for {compared.found} with the new model and {compared.found_before} with the former; a second person for "
        f"{compared.strangers} and {compared.strangers_before}."
    )
