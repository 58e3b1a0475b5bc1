"""What an import does with each photo: it is added once, to the right person, and recorded."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NoReturn

from facesearch.bulk.adding import Sender
from facesearch.bulk.journal import Journal, Sent, State, idempotency_key
from facesearch.bulk.loading import Loaded, Loader
from facesearch.bulk.options import Options
from facesearch.bulk.photos import Failure, Photo, Unusable
from facesearch.bulk.report import Tally
from facesearch.bulk.service import Answer
from shared.contract import Faces, Flaw, Status
from shared.persons import MAX_FACES

UNCERTAIN: Final = "UNCERTAIN"
"""The status of a photo that was sent so long ago, without an outcome, that a repetition might add it twice."""

TRUSTED: Final = 0.9
"""Part of the time for which the service remembers a request, in which a repetition is sent."""

NO_PERSON: Final = "its person is not known, since another photo of it has no outcome"
GONE: Final = "its person was deleted; a new --journal with --anew adds the person again"


def in_order(photos: Sequence[Photo], state: State) -> list[Sequence[Photo]]:
    """Return the photos in groups: those of one person of several faces, or one photo. Groups with photos that were
    sent and have no outcome come first, and these first in them: the service remembers them for a time and for a number
    of later requests.
    """
    waiting = {(sent.path, sent.name) for sent in state.unresolved.values()}

    def is_waiting(photo: Photo) -> bool:
        return (photo.path, photo.name) in waiting

    places: dict[str | int, list[Photo]] = {}
    for number, photo in enumerate(photos):
        places.setdefault(number if photo.person is None else photo.person, []).append(photo)
    groups = [sorted(group, key=lambda photo: not is_waiting(photo)) for group in places.values()]
    return sorted(groups, key=lambda group: not is_waiting(group[0]))


class PersonLost(Exception):
    """No further photo of a person can be added by this run. status, reason: of the photo, as in Failure. of_others:
    the reason of the photos after it.
    """

    def __init__(self, status: str, reason: str, of_others: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.of_others = of_others


@dataclass(frozen=True)
class _Way:
    """How a photo is sent: as of Sent."""

    faces: Faces
    to: str | None
    attributes: Mapping[str, str]


class Importing:
    """Adds photos, one call for each. advance: called after each photo."""

    def __init__(
        self,
        options: Options,
        journal: Journal,
        tally: Tally,
        sender: Sender,
        stop: asyncio.Event,
        advance: Callable[[], None],
    ) -> None:
        self._options = options
        self._loader = Loader(options.facedb, shrink=options.shrink)
        self._journal = journal
        self._tally = tally
        self._sender = sender
        self._stop = stop
        self._advance = advance

    async def add(self, photos: Sequence[Photo]) -> None:
        """Add the photos of a group that were not added, one after the other: the first one makes the person, to whom
        the others are added. Raises OperatorError as Sender.outcome and the journal do.
        """
        lost: PersonLost | None = None
        is_there: bool | None = False
        try:
            is_there = await self._is_there(photos[0])
        except PersonLost as error:
            lost = error
        for photo in photos:
            if self._stop.is_set():
                return
            if is_there:
                self._tally.present += 1
                self._tally.left -= 1
                self._advance()
                continue
            try:
                await self._add(photo, lost)
            except Unusable as error:
                self._failed(photo, error.status, error.reason)
            except PersonLost as error:
                lost = error
                self._failed(photo, error.status, error.reason)
            self._advance()

    async def _is_there(self, photo: Photo) -> bool | None:
        """Return whether the person of a photo was there before, by its external_id; False if the journal knows the
        person, or will by a repetition of what was sent. Raises PersonLost if the service does not say it.
        """
        state = self._journal.state
        if photo.external_id is None or photo.person in state.persons:
            return False
        waiting = {identity: sent for identity, sent in state.unresolved.items() if sent.person == photo.person}
        if any(self._is_remembered(sent) for sent in waiting.values()):
            return False
        is_there = await self._sender.is_there(photo.external_id)
        if is_there is None:
            reason = "the service does not say whether its person is there"
            raise PersonLost(Status.FAIL, reason, reason)
        if not is_there:
            for identity in waiting:
                self._journal.refused(identity, UNCERTAIN, "nobody has its external_id")
        return is_there

    async def _add(self, photo: Photo, lost: PersonLost | None) -> None:
        """Add a photo unless it was. lost: why nothing can be added to its person."""
        options, state = self._options, self._journal.state
        loaded = await asyncio.to_thread(self._loader.load, photo, state.added)
        if loaded.image is None:
            self._tally.before += 1
            self._tally.left -= 1
            return
        if lost is not None:
            raise PersonLost(lost.status, lost.of_others, lost.of_others)
        if photo.person is not None and state.faces[photo.person] >= MAX_FACES:
            raise Unusable(Status.INVALID_REQUEST, f"a person has at most {MAX_FACES} faces")
        earlier = self._earlier(photo, loaded.identity)
        # What was sent in another way is resolved first, by the same request.
        person_id = self._person_id(photo)
        now = _Way(options.faces, person_id, photo.attributes if person_id is None else {})
        before = now if earlier is None else _Way(earlier.faces, earlier.to, earlier.attributes)
        for way in (now,) if before == now else (before, now):
            answer = await self._answer(photo, loaded, way)
            if answer is None:
                return
            if answer.status is Status.OK:
                self._added(photo, loaded, answer, way.to, is_known=earlier is not None)
                return
            self._journal.refused(loaded.identity, answer.status, _reason(answer))
            refusal = answer
        self._refused(refusal)

    def _earlier(self, photo: Photo, identity: str) -> Sent | None:
        """Return how a photo was sent that has no outcome. Raises Unusable or PersonLost if it was too long ago."""
        earlier = self._journal.state.unresolved.get(identity)
        if earlier is None or self._is_remembered(earlier):
            return earlier
        if self._options.send_uncertain:
            self._journal.refused(identity, UNCERTAIN, "sent again, as asked")
            return None
        reason = "sent earlier, and whether it was added is not known any more"
        if photo.person is None or self._person_id(photo) is not None:
            raise Unusable(UNCERTAIN, reason)
        raise PersonLost(UNCERTAIN, reason, NO_PERSON)

    def _is_remembered(self, sent: Sent) -> bool:
        """Return whether the service would answer what was sent as it did."""
        return time.time() - sent.at <= TRUSTED * self._options.remembered_s

    def _person_id(self, photo: Photo) -> str | None:
        return None if photo.person is None else self._journal.state.persons.get(photo.person)

    async def _answer(self, photo: Photo, loaded: Loaded, way: "_Way") -> Answer | None:
        """Send a photo, and return its outcome; None if it gets none by this run. Raises Unusable, or PersonLost if it
        may have made its person.
        """
        tally, journal, identity = self._tally, self._journal, loaded.identity
        if identity not in journal.state.unresolved:
            journal.sent(identity, photo, way.faces, way.to)
        if tally.began is None:
            tally.began = time.monotonic()
        key = idempotency_key(journal.state.salt, identity, way.faces, way.to)
        image = loaded.image or b""
        answer = await self._sender.outcome(image, photo.name, way.faces, key, way.to, way.attributes)
        if answer is not None:
            tally.ended = time.monotonic()
        elif not self._stop.is_set():
            reason = "the service could not add it, again and again"
            if photo.person is not None and way.to is None:
                raise PersonLost(Status.FAIL, reason, NO_PERSON)
            raise Unusable(Status.FAIL, reason)
        return answer

    def _added(self, photo: Photo, loaded: Loaded, answer: Answer, to: str | None, *, is_known: bool) -> None:
        """Record that a photo was added. is_known: whether the journal knew of an earlier request."""
        tally = self._tally
        self._journal.added(loaded.identity, answer.person_ids)
        tally.answered += 1
        tally.left -= 1
        tally.shrunk += loaded.is_shrunk
        if answer.replayed and not is_known:
            tally.replayed += 1
            return
        tally.added += 1
        tally.faces += len(answer.person_ids)
        tally.persons += photo.person is not None and to is None

    def _refused(self, answer: Answer) -> NoReturn:
        """Raise what says why a photo was not added: Unusable, or PersonLost if its person is gone."""
        self._tally.answered += 1
        if answer.status is Status.PERSON_ID_NOT_EXIST:
            raise PersonLost(answer.status, GONE, GONE)
        raise Unusable(answer.status, _reason(answer))

    def _failed(self, photo: Photo, status: str, reason: str) -> None:
        self._tally.failures.append(Failure(photo.path, photo.name, status, reason))
        self._tally.left -= 1


def _reason(answer: Answer) -> str:
    """Return why an answer other than OK was given, for people."""
    if answer.status is not Status.FACE_DETECT_FAILED:
        return str(answer.message)
    if answer.flaw == Flaw.SEVERAL:
        return "several faces"
    if answer.flaw is not None:
        return f"no face that is shown well enough: {answer.flaw}"
    return "no face, or none that is shown well enough"
