"""Finds and deletes all persons of a name or an external id, and says which backups still have them."""

import mmap
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from facesearch.backup import manifest
from shared.calls import DELETE_PERSON, LIST_PERSONS
from shared.control import Unknown
from shared.errors import OperatorError, Unavailable
from shared.persons import MAX_PERSONS, PersonPage

if TYPE_CHECKING:
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


@dataclass(frozen=True)
class Holder:
    """A backup that has persons. sure: found in it; otherwise it cannot be searched. newer: backups beside it that are
    newer.
    """

    folder: Path
    created: datetime
    sure: bool
    newer: int


def holders(folder: Path, person_ids: Collection[str]) -> list[Holder]:
    """Return the backups that have any of these persons, oldest first. folder: a backup, or a folder of backups. Raises
    OperatorError if it is neither, or cannot be read.
    """
    found = sorted(_backups(folder), key=lambda pair: pair[1].created)
    texts = [person_id.encode() for person_id in person_ids]
    holding = []
    for place, (path, made) in enumerate(found):
        sure = made.faces == "embedded"
        try:
            if not sure or any(_contains(path / file.name, texts) for file in made.files):
                holding.append(Holder(path, made.created, sure, len(found) - place - 1))
        except OSError as error:
            raise OperatorError(f"cannot read {error.filename or path} ({error.strerror})") from None
    return holding


def _backups(folder: Path) -> Iterator[tuple[Path, manifest.Manifest]]:
    try:
        inner = [path for path in sorted(folder.iterdir()) if (path / manifest.MANIFEST).is_file()]
    except OSError as error:
        raise OperatorError(f"cannot read {folder} ({error.strerror})") from None
    if (folder / manifest.MANIFEST).is_file() or not inner:
        inner = [folder]
    for path in inner:
        yield path, manifest.read(path)


def _contains(path: Path, texts: Sequence[bytes]) -> bool:
    """Return whether a file has one of the texts. It is mapped, since files of faces are large."""
    with path.open("rb") as file:
        if path.stat().st_size == 0:  # which cannot be mapped
            return False
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as held:
            return any(held.find(text) >= 0 for text in texts)
