"""How many persons a retention would remove at once, for operators who are about to set it."""

import time
from dataclasses import dataclass
from datetime import datetime
from typing import Final, cast

from shared.calls import LIST_PERSONS
from shared.control import Retention
from shared.control.records import DAY_S
from shared.operator_jobs import OperatorJobs
from shared.persons import MAX_PERSONS, PersonPage

MOST_PAGES: Final = 100
"""Pages of MAX_PERSONS that are read: some seconds of work. An operator need not know more exactly."""


@dataclass(frozen=True)
class Aged:
    """persons: who have a face that is too old. more: whether there may be more of them than were counted."""

    persons: int
    more: bool

    def __bool__(self) -> bool:
        return self.persons > 0 or self.more

    def __str__(self) -> str:
        if not self.persons:
            return "an unknown number of persons"
        return f"{'at least ' if self.more else ''}{self.persons:,} person{'' if self.persons == 1 else 's'}"


async def aged(jobs: OperatorJobs, tenant: str, facedb: str, days: int) -> Aged:
    """Return how many persons of the facedb have faces older than this many days, as far as the present retention does
    not remove them anyway. Raises as OperatorJobs.do.
    """
    present = await jobs.control.retention(tenant, facedb)
    if present is not None and present.days <= days:
        return Aged(0, more=False)
    now, cursor, count = time.time(), dict[str, str](), 0
    until = now - days * DAY_S
    ends_untimed = _ends_untimed(present, days, now)
    for _ in range(MOST_PAGES):
        given = {"limit": str(MAX_PERSONS), **cursor}
        page = cast("PersonPage", await jobs.do(LIST_PERSONS, tenant, facedb, **given))
        for person in page["persons"]:
            added = person["added"]
            if added is None:
                count += ends_untimed
            elif datetime.fromisoformat(added).timestamp() <= until:
                count += 1
            else:
                return Aged(count, more=False)
        if page["next"] is None:
            return Aged(count, more=False)
        cursor = {"after": page["next"]}
    return Aged(count, more=True)


def _ends_untimed(present: Retention | None, days: int, now: float) -> bool:
    """Return whether persons without a time of adding would go: never on the day when a retention is switched on."""
    return present is not None and present.model_copy(update={"days": days}).ends_untimed(now)
