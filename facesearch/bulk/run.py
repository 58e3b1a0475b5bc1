"""The run of an import: every photo of a source is added once, however often and wherever the run is interrupted."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from pydantic import SecretStr

from facesearch.bulk.adding import PATIENCE, Patience, Sender
from facesearch.bulk.journal import Journal, State, idempotency_key
from facesearch.bulk.loading import Loader
from facesearch.bulk.names import FREE_RULE, STRICT_RULE, Fit, fit
from facesearch.bulk.photos import Failure, Listing, Photo, Unusable
from facesearch.bulk.report import Tally
from facesearch.bulk.service import Answer, NoAnswer, NoService, Service
from facesearch.bulk.window import Window
from shared.contract import Faces, Flaw, Status
from shared.errors import OperatorError

UNCERTAIN: Final = "UNCERTAIN"
"""The status of a photo that was sent so long ago, without an outcome, that a repetition might add it twice."""

TRUSTED: Final = 0.9
"""Part of the time for which the service remembers a request, in which a repetition is sent."""

ASKED_FOR_S: Final = 60.0
"""Seconds for which the first question is repeated while the service is busy."""


@dataclass(frozen=True)
class Options:
    """How photos are added. facedb: "" for the key's own default. workers: most photos at once. remembered_s: for how
    long the service remembers an Idempotency-Key. send_uncertain: whether photos are sent that may have been added
    longer ago than that. shrink: whether photos that are larger than the service takes are made smaller.
    """

    url: str
    key: SecretStr
    facedb: str
    faces: Faces = Faces.ONE
    workers: int = 64
    remembered_s: float = 86_400
    send_uncertain: bool = False
    shrink: bool = False
    patience: Patience = PATIENCE


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
    if answer.status is not Status.IMAGE_INVALID_FORMAT:
        raise OperatorError(f"the service at {options.url} refuses to add photos: {answer.message}")
    rules = {Fit.NEVER: FREE_RULE if is_free else STRICT_RULE} | ({} if is_free else {Fit.WHERE_FREE: STRICT_RULE})
    refused = [
        Failure(photo.path, photo.name, Status.INVALID_REQUEST, f"name not taken: {rules[fits[photo.name]]}")
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
    photos = _unresolved_first(found.photos, journal.state)
    tally.failures.extend(found.failures)
    tally.left = len(photos)
    tally.is_begun = True
    async with Service(options.url, options.key, options.facedb) as service:
        window = Window(options.workers)
        importing = _Import(options, journal, tally, Sender(service, window, stop, say, options.patience), stop)
        syncing = asyncio.create_task(journal.keep_synced())
        try:
            await _at_once(window, photos, importing.add, stop, advance)
        except BaseExceptionGroup as group:
            _, others = group.split(OperatorError)
            if others is not None:
                raise
            raise _first(group) from None
        finally:
            syncing.cancel()


async def _at_once(
    window: Window,
    photos: Iterable[Photo],
    add: Callable[[Photo], Awaitable[None]],
    stop: asyncio.Event,
    advance: Callable[[], None],
) -> None:
    """Add photos in order, as many at once as the window allows."""
    running = 0
    changed = asyncio.Event()

    async def one(photo: Photo) -> None:
        nonlocal running
        try:
            await add(photo)
        finally:
            running -= 1
            changed.set()
        advance()

    async with asyncio.TaskGroup() as group:
        for photo in photos:
            while running >= window.size:
                changed.clear()
                await changed.wait()
            if stop.is_set():
                return
            running += 1
            group.create_task(one(photo))


class _Import:
    """Adds photos, one call for each, and records what becomes of them."""

    def __init__(self, options: Options, journal: Journal, tally: Tally, sender: Sender, stop: asyncio.Event) -> None:
        self._options = options
        self._loader = Loader(options.facedb, shrink=options.shrink)
        self._journal = journal
        self._tally = tally
        self._sender = sender
        self._stop = stop

    async def add(self, photo: Photo) -> None:
        """Add a photo unless it was. Raises OperatorError as Sender.outcome and the journal do."""
        options, state = self._options, self._journal.state
        try:
            loaded = await asyncio.to_thread(self._loader.load, photo, state.added)
        except Unusable as error:
            self._failed(photo, error.status, error.reason)
            return
        identity, image = loaded.identity, loaded.image
        if image is None:
            self._tally.before += 1
            self._tally.left -= 1
            return
        earlier = state.unresolved.get(identity)
        if earlier is not None and time.time() - earlier.at > TRUSTED * options.remembered_s:
            if not options.send_uncertain:
                self._failed(photo, UNCERTAIN, "sent earlier, and whether it was added is not known any more")
                return
            self._journal.refused(identity, UNCERTAIN, "sent again, as asked")
            earlier = None
        # What was sent with other options is resolved first, by the same request.
        ways = dict.fromkeys([earlier.faces, options.faces] if earlier is not None else [options.faces])
        for faces in ways:
            if await self._is_settled(photo, identity, image, faces, is_known=earlier is not None):
                self._tally.shrunk += loaded.is_shrunk and identity in state.added
                return

    async def _is_settled(self, photo: Photo, identity: str, image: bytes, faces: Faces, *, is_known: bool) -> bool:
        """Send a photo. Returns whether it was added, or will not be by this run. is_known: whether the journal knows
        of an earlier request.
        """
        tally, journal = self._tally, self._journal
        if identity not in journal.state.unresolved:
            journal.sent(identity, photo.path, photo.name, faces)
        if tally.began is None:
            tally.began = time.monotonic()
        key = idempotency_key(journal.state.salt, identity, faces)
        answer = await self._sender.outcome(image, photo.name, faces, key)
        if answer is None:
            if not self._stop.is_set():
                self._failed(photo, Status.FAIL, "the service could not add it, again and again")
            return True
        tally.ended = time.monotonic()
        if answer.status is Status.OK:
            journal.added(identity, answer.person_ids)
            tally.answered += 1
            tally.left -= 1
            if answer.replayed and not is_known:
                tally.replayed += 1
            else:
                tally.added += 1
                tally.faces += len(answer.person_ids)
            return True
        reason = _reason(answer)
        journal.refused(identity, answer.status, reason)
        if faces is not self._options.faces:
            return False
        tally.answered += 1
        self._failed(photo, answer.status, reason)
        return True

    def _failed(self, photo: Photo, status: str, reason: str) -> None:
        self._tally.failures.append(Failure(photo.path, photo.name, status, reason))
        self._tally.left -= 1


def _unresolved_first(photos: Sequence[Photo], state: State) -> list[Photo]:
    """Return the photos with those in front that were sent and have no outcome: the service remembers them for a time
    and for a number of later requests.
    """
    waiting = {(sent.path, sent.name) for sent in state.unresolved.values()}
    return sorted(photos, key=lambda photo: (photo.path, photo.name) not in waiting)


def _reason(answer: Answer) -> str:
    """Return why an answer other than OK was given, for people."""
    if answer.status is not Status.FACE_DETECT_FAILED:
        return str(answer.message)
    if answer.flaw == Flaw.SEVERAL:
        return "several faces"
    if answer.flaw is not None:
        return f"no face that is shown well enough: {answer.flaw}"
    return "no face, or none that is shown well enough"


def _is_about_the_name(answer: Answer) -> bool:
    return answer.status is Status.INVALID_REQUEST and str(answer.message).startswith("name ")


async def _asked(options: Options, service: Service, name: str) -> Answer:
    """Return the answer to an add of an image of no format. Raises OperatorError if there is none."""
    end = time.monotonic() + min(ASKED_FOR_S, options.patience.service_s)
    failures = 0
    while True:
        try:
            answer = await service.add(b"\0", name, options.faces, None)
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
