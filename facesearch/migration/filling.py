"""Filling the collection of the new model from photos, and comparing both models.

The collection is the journal: a person of whom it has a face is done. So a run that was interrupted goes on when the
command is run again.
"""

import asyncio
import math
import random
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from facesearch.bulk.photos import Failure, Photo, Unusable
from facesearch.bulk.window import Window
from facesearch.migration.jobs import MigrationJobs, RefusedPhotoError
from facesearch.migration.photos import Persons
from shared.contract import MIN_CONFIDENCE, Status
from shared.control import Compared
from shared.migration_jobs import MOST_CANDIDATES

BY_FACE: Final = 97.0
"""Least confidence of a face with a stored one, by the former model, where nothing else says whom a photo shows: one
stranger in a million reaches it. The photo that was added gives 100."""

SAMPLE: Final = 200
"""Photos that are searched for with both models: enough to see a difference of some percent."""

WORSE: Final = 0.02
"""Share of photos that the new model may find less often, or for which it may list strangers more often, than the
former one before it counts as worse."""

DEVIATIONS: Final = 2.0
"""Standard deviations by which two counts must differ, too: that of their difference is the root of their sum. In a
small sample a few photos are chance."""


@dataclass
class Filled:
    """What a run came to. added: photos with the faces of persons who were missing. skipped: photos of persons who were
    not. failures: photos that could not be used. left: photos that were not come to.
    """

    added: int = 0
    skipped: int = 0
    left: int = 0
    failures: list[Failure] = field(default_factory=list)


async def fill(
    jobs: MigrationJobs,
    photos: Sequence[Photo],
    persons: Persons,
    filled: Filled,
    *,
    most_at_once: int,
    by_face: bool,
    stop: asyncio.Event,
    advance: Callable[[], None],
) -> None:
    """Migrate the faces of photos, and remove from persons.missing who was done. filled: counts, right also if this
    raises. stop: ends it when it is set, after the photos that are on their way. Raises OperatorError.
    """
    window = Window(most_at_once)
    filled.left = len(photos)

    async def one(photo: Photo) -> None:
        candidates = [] if by_face else persons.named(photo.name)
        wanted = [person for person in candidates if person in persons.missing][:MOST_CANDIDATES]
        if (by_face and not persons.missing) or (candidates and not wanted):
            filled.skipped += 1
        elif not by_face and not candidates:
            why = "nobody in the facedb has this person_id, external_id or name"
            filled.failures.append(Failure(photo.path, photo.name, Status.PERSON_ID_NOT_EXIST, why))
        else:
            await send(photo, wanted)
        filled.left -= 1
        advance()

    async def send(photo: Photo, wanted: Sequence[uuid.UUID]) -> None:
        try:
            image = await asyncio.to_thread(photo.load)
            sent = time.monotonic()
            done = await jobs.migrate(image, wanted, BY_FACE if by_face else MIN_CONFIDENCE)
            window.answered(time.monotonic() - sent)
        except Unusable as error:
            filled.failures.append(Failure(photo.path, photo.name, error.status, error.reason))
        except RefusedPhotoError as error:
            filled.failures.append(Failure(photo.path, photo.name, "NOT_USED", str(error)))
        else:
            filled.added += 1
            for person_id, face_id in done.faces:
                persons.migrated(person_id, face_id)

    await _at_once(window, photos, one, stop)


async def compare(jobs: MigrationJobs, photos: Sequence[Photo]) -> Compared:
    """Search for a sample of the photos with both models; those without a face do not count. Raises OperatorError."""
    sample = random.Random(0).sample(photos, min(SAMPLE, len(photos)))  # noqa: S311 -- the same in each run
    counts = dict.fromkeys(Compared.model_fields, 0)
    for photo in sample:
        try:
            found = await jobs.compare(await asyncio.to_thread(photo.load))
        except (Unusable, RefusedPhotoError):
            continue
        now, new = found.current, found.other
        counts["photos"] += 1
        counts["same"] += now.person is not None and now.person == new.person
        counts["found"] += new.person is not None
        counts["found_before"] += now.person is not None
        counts["strangers"] += new.others
        counts["strangers_before"] += now.others
    return Compared(**counts)


def is_worse(compared: Compared) -> bool:
    """Return whether the new model finds clearly fewer people, finds others, or lists clearly more strangers."""
    lost, lost_before = compared.photos - compared.found, compared.photos - compared.found_before
    return any(
        more - fewer > max(WORSE * compared.photos, DEVIATIONS * math.sqrt(more + fewer))
        for more, fewer in (
            (lost, lost_before),
            (compared.strangers, compared.strangers_before),
            (compared.found_before - compared.same, lost),
        )
    )


async def _at_once(
    window: Window, photos: Sequence[Photo], do: Callable[[Photo], Awaitable[None]], stop: asyncio.Event
) -> None:
    """Do something for photos in order, for as many at once as the window allows."""
    running: set[asyncio.Task[None]] = set()
    try:
        for photo in photos:
            while len(running) >= window.size:
                done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
            if stop.is_set():
                break
            running.add(asyncio.ensure_future(do(photo)))
        for task in running:
            await task
    finally:
        for task in running:
            task.cancel()
