"""Finds and deletes all persons of a name or an external id, for operators whom somebody asked to be erased."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, cast

from shared.calls import DELETE_PERSON, LIST_PERSONS
from shared.control import Unknown
from shared.errors import OperatorError, Unavailable
from shared.persons import MAX_PERSONS, PersonPage

if TYPE_CHECKING:  # it loads Celery, for which not every command need wait
    from shared.operator_jobs import OperatorJobs

ROUNDS: Final = 3
"""Number of times that persons are looked for again after a deletion: callers may add and rename meanwhile."""


@dataclass
class Deleted:
    """person_ids: of those who were deleted. reason: why the rest was not; "" if nobody is left."""

    person_ids: list[str] = field(default_factory=list)
    reason: str = ""


async def find(jobs: "OperatorJobs", tenant: str, facedb: str, wanted: Mapping[str, str]) -> list[str]:
    """Return the ids of all persons of a facedb who have exactly what is wanted, a name or an external id. Raises as
    OperatorJobs.do.
    """
    found: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        given = {**wanted, **cursor, "limit": str(MAX_PERSONS)}
        page = cast("PersonPage", await jobs.do(LIST_PERSONS, tenant, facedb, **given))
        found += [person["person_id"] for person in page["persons"] if wanted.items() <= person.items()]
        if page["next"] is None:
            return found
        cursor = {"after": page["next"]}


async def delete(jobs: "OperatorJobs", tenant: str, facedb: str, wanted: Mapping[str, str]) -> Deleted:
    """Delete all persons of a facedb who have what is wanted, until nobody is found any more."""
    done = Deleted()
    try:
        for _ in range(ROUNDS):
            found = await find(jobs, tenant, facedb, wanted)
            if not found:
                return done
            for person_id in found:
                try:
                    await jobs.do(DELETE_PERSON, tenant, facedb, person_id=person_id)
                except Unknown:  # somebody else deletes the person
                    continue
                done.person_ids.append(person_id)
        done.reason = "persons are added as fast as they are deleted"
    except Unavailable as error:
        done.reason = error.reason
    except OperatorError as error:
        done.reason = str(error)
    return done


async def find_all(
    jobs: "OperatorJobs", tenant: str, facedb: str | None, wanted: Mapping[str, str]
) -> dict[str, list[str]]:
    """Return what `find` does by facedb, of this one or of all of the tenant, without facedbs that have nobody."""
    every = [facedb] if facedb else [each.name for each in await jobs.control.facedbs(tenant)]
    found = {one: await find(jobs, tenant, one, wanted) for one in every}
    return {one: person_ids for one, person_ids in found.items() if person_ids}
