"""The run of an import: every photo of a source is added once, however often and wherever the run is interrupted."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from typing import Final

from facesearch.bulk.adding import Sender
from facesearch.bulk.importing import Importing, in_order
from facesearch.bulk.journal import Journal, State
from facesearch.bulk.loading import Loader
from facesearch.bulk.names import FREE_RULE, STRICT_RULE, Fit, fit
from facesearch.bulk.options import Options
from facesearch.bulk.photos import Failure, Listing, Photo, Unusable
from facesearch.bulk.report import Tally
from facesearch.bulk.service import Answer, NoAnswer, NoService, Service
from facesearch.bulk.window import Window
from shared.contract import Status
from shared.errors import OperatorError

ASKED_FOR_S: Final = 60.0
"""Seconds for which the first question is repeated while the service is busy."""


async def check(options: Options, found: Listing) -> Listing:
    """Ask the service whether it would take photos, without adding any, and return the listing without those whose
    names it would not take: they are failures of it.

    The question is an image of no format, which is refused after everything else has been checked, free of charge.
    Raises OperatorError if there is no service there, or if it refuses the key or the facedb.
    """
    fits = {name: fit(name) for name in {photo.name for photo in found.photos}}
    free = next((name for name, each in fits.items() if each is Fit.WHERE_FREE), None)
    async with Service(options.url, options.key, options.facedb) as service:
        answer = await _asked(options, service, "" if free is None else free)
        is_free = True
        if free is not None and _is_about_the_name(answer):
            is_free = False
            answer = await _asked(options, service, "")
        if any(photo.person is not None or photo.attributes for photo in found.photos):
            await _require_persons_of_several_faces(options, service)
        external_id = next((photo.external_id for photo in found.photos if photo.external_id is not None), None)
        if external_id is not None:
            await _require_list(options, service, external_id)
    if answer.status is not Status.IMAGE_INVALID_FORMAT:
        raise OperatorError(f"the service at {options.url} refuses to add photos: {answer.refusal}")
    rules = {Fit.NEVER: FREE_RULE if is_free else STRICT_RULE} | ({} if is_free else {Fit.WHERE_FREE: STRICT_RULE})
    refused = [
        Failure(
            photo.path,
            photo.name,
            Status.INVALID_REQUEST,
            f"name not taken: {rules[fits[photo.name]]}{photo.place('name')}",
        )
        for photo in found.photos
        if fits[photo.name] in rules
    ]
    photos = tuple(photo for photo in found.photos if fits[photo.name] not in rules)
    return replace(found, photos=photos, failures=(*found.failures, *refused))


def planned(options: Options, found: Listing, state: State, would_add: Callable[[Photo], None]) -> Tally:
    """Return what an import of a checked listing would come to, as far as that is known without sending a photo. `left`
    are the photos that would be sent, and would_add is called with each.
    """
    tally = Tally(failures=[*found.failures])
    loader = Loader(options.facedb, shrink=options.shrink)
    for photo in found.photos:
        try:
            identity = loader.identity(photo)
        except Unusable as error:
            tally.failures.append(Failure(photo.path, photo.name, error.status, error.reason))
            continue
        if identity in state.added:
            tally.before += 1
        else:
            tally.left += 1
            would_add(photo)
    return tally


async def add_all(
    options: Options,
    found: Listing,
    journal: Journal,
    tally: Tally,
    stop: asyncio.Event,
    advance: Callable[[], None],
    say: Callable[[str], None],
) -> None:
    """Add the photos of a checked listing that the journal does not have as added, and count them in the tally, which
    is right also if this raises.

    stop: ends the import when it is set, after the photos that are on their way. advance: called after each photo. say:
    called with a line about the service. Raises OperatorError if the import cannot go on.
    """
    tally.failures.extend(found.failures)
    tally.left = len(found.photos)
    tally.is_begun = True
    async with Service(options.url, options.key, options.facedb) as service:
        window = Window(options.workers)
        sender = Sender(service, window, stop, say, options.patience)
        importing = Importing(options, journal, tally, sender, stop, advance)
        syncing = asyncio.create_task(journal.keep_synced())
        try:
            await _at_once(window, in_order(found.photos, journal.state), importing.add, stop)
        except BaseExceptionGroup as group:
            _, others = group.split(OperatorError)
            if others is not None:
                raise
            raise _first(group) from None
        finally:
            syncing.cancel()


async def _at_once(
    window: Window,
    groups: Iterable[Sequence[Photo]],
    add: Callable[[Sequence[Photo]], Awaitable[None]],
    stop: asyncio.Event,
) -> None:
    """Add photos in order, as many groups at once as the window allows."""
    running = 0
    changed = asyncio.Event()

    async def one(photos: Sequence[Photo]) -> None:
        nonlocal running
        try:
            await add(photos)
        finally:
            running -= 1
            changed.set()

    async with asyncio.TaskGroup() as group:
        for photos in groups:
            while running >= window.size:
                changed.clear()
                await changed.wait()
            if stop.is_set():
                return
            running += 1
            group.create_task(one(photos))


def _is_about_the_name(answer: Answer) -> bool:
    return answer.status is Status.INVALID_REQUEST and str(answer.message).startswith("name ")


async def _require_persons_of_several_faces(options: Options, service: Service) -> None:
    """Raise OperatorError unless the service adds faces to persons: an earlier release would make each a new person."""
    # An empty person_id is wrong, where there is such a parameter: that is checked before the image is.
    answer = await _asked(options, service, "", person_id="")
    if not (answer.status is Status.INVALID_REQUEST and str(answer.message).startswith("person_id ")):
        raise OperatorError(f"the service at {options.url} does not add faces to persons; upgrade it first")


async def _require_list(options: Options, service: Service, external_id: str) -> None:
    """Raise OperatorError unless the key may list persons, by which those who are there are not added once more."""
    answer = await _repeated(options, lambda: service.persons_with(external_id))
    if answer.status is not Status.OK:
        raise OperatorError(
            f"the service at {options.url} does not say who is there by an external_id: {answer.message}; use a key "
            "with the scopes add and search"
        )


async def _asked(options: Options, service: Service, name: str, person_id: str | None = None) -> Answer:
    """Return the answer to an add of an image of no format. Raises OperatorError if there is none."""
    return await _repeated(options, lambda: service.add(b"\0", name, options.faces, None, person_id))


async def _repeated(options: Options, ask: Callable[[], Awaitable[Answer]]) -> Answer:
    end = time.monotonic() + min(ASKED_FOR_S, options.patience.service_s)
    failures = 0
    while True:
        try:
            answer = await ask()
        except (NoAnswer, NoService) as error:
            raise OperatorError(
                f"no service answers at {options.url} ({error}); start it with `facesearch up`, or name it with --url"
            ) from None
        if answer.status is not Status.FAIL or time.monotonic() > end:
            return answer
        failures += 1
        await asyncio.sleep(answer.retry_after_s + options.patience.pause_s(failures))


def _first(group: BaseException) -> BaseException:
    """Return the first error in a group of them."""
    while isinstance(group, BaseExceptionGroup):
        group = group.exceptions[0]
    return group
