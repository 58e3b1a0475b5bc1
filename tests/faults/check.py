"""Checks whether the service kept its promises, by its answers to searches and repetitions."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from faults.book import (
    GIVE_FACE,
    NO_OUTCOME,
    REGULAR,
    TAKE_FACE,
    Attempt,
    Book,
    Expected,
    ExpectedFaces,
    Judged,
    Request,
)
from faults.caller import Caller
from shared.calls import GET_PERSON, SEARCH_FACE
from shared.contract import Status

if TYPE_CHECKING:
    from faults.load import Load

REPEATED: Final = 20
"""Requests of several attempts that are repeated once more, at most."""

REPEATED_ONCE: Final = 6
"""Requests of one attempt that are repeated once more, at least."""

PAUSE_S: Final = 0.1
"""Pause after a FAIL."""

CHECK_S: Final = 45.0
"""Time of the whole check, so that a service that never recovers does not hold it up."""


def judge(found: Sequence[Mapping[str, str]], before: Expected, after: Expected) -> Judged:
    """Judge the result of a search by what its facedb had to hold before and after it."""
    ids = Counter(face["person_id"] for face in found)
    names = Counter(face["name"] for face in found)
    known = after.there | after.gone | after.open_
    asked = before.asked | after.asked
    missing = {one: f"{known[one]} is not found" for one in before.there if one in after.there and one not in ids}
    back = {one: f"{known[one]} was deleted and is found" for one in before.gone if one in ids}
    renamed = {
        face["person_id"]: f"{known[face['person_id']]} is now {face['name']}"
        for face in found
        if known.get(face["person_id"], face["name"]) != face["name"]
    }
    twice = [f"{what} is found {count} times" for what, count in (ids | names).items() if count > 1]
    unsaid = [
        f"{face['name']} is found as {face['person_id']}, an id of no answer"
        for face in found
        if face["person_id"] not in known and face["name"] not in asked
    ]
    return Judged(missing | back | renamed, (*twice, *unsaid))


def judge_faces(found: Sequence[str], expected: ExpectedFaces) -> Judged:
    """Judge the ids of a person's faces."""
    unknown = set(found) - expected.there - expected.gone - expected.open_
    missing = {face: f"face {face} is not found" for face in expected.there - set(found)}
    back = {face: f"face {face} was deleted and is found" for face in expected.gone & set(found)}
    twice = [f"face {face} is found {count} times" for face, count in Counter(found).items() if count > 1]
    unsaid = [f"face {face} has an id of no answer" for face in sorted(unknown)[expected.unsaid :]]
    return Judged(missing | back, (*twice, *unsaid))


def check(load: "Load") -> None:
    """Judge all answers of a load, in its book, after it has settled."""
    book = load.book
    end = time.monotonic() + CHECK_S
    for request in book.requests:
        _judge_outcome(request, book)
    with closing(load.caller()) as caller:
        for facedb in book.facedbs():
            attempt = _answered(caller, Request(SEARCH_FACE, facedb), end)
            if attempt is None:
                book.problem(f"{facedb} cannot be searched in the end")
                continue
            found = attempt.message if attempt.status == Status.OK else []
            book.judged(judge(found, book.expected(facedb), book.expected(facedb)))
            _judge_regular(facedb, book, _answered(caller, Request(SEARCH_FACE, facedb, of_regular=True), end))
        for (facedb, person_id), expected in book.persons_with_faces().items():
            attempt = _answered(caller, Request(GET_PERSON, facedb, person_id=person_id), end)
            if attempt is None or attempt.status != Status.OK:
                book.problem(f"{person_id} cannot be looked up in the end")
                continue
            book.judged(judge_faces([face["face_id"] for face in attempt.message["faces"]], expected))
        for request in _to_repeat(book):
            first = request.outcome
            again = _answered(caller, replace(request, attempts=[]), end)
            if first is None or again is None or (again.status, again.message) != (first.status, first.message):
                book.problem(f"{request.call}: answered {first} and, repeated under its key, {again}")
    load.check_webhooks(CHECK_S)


def _judge_regular(facedb: str, book: Book, found: Attempt | None) -> None:
    """Judge the adds of REGULAR to a facedb: exactly one adds, and all others name that person."""
    named, added = book.regulars(facedb)
    if found is None:
        book.problem(f"{facedb} cannot be searched for {REGULAR} in the end")
    elif named:
        there = {face["person_id"] for face in found.message} if found.status == Status.OK else set()
        lost = dict.fromkeys(named - there, f"{REGULAR} of {facedb} is not found")
        doubled = [f"{REGULAR} is {len(there | named)} persons in {facedb}"] if len(there | named) > 1 else []
        doubled += [f"{added} adds of {REGULAR} say that they added to {facedb}"] if added != 1 else []
        book.judged(Judged(lost, tuple(doubled)))


def _judge_outcome(request: Request, book: Book) -> None:
    outcome = request.outcome
    if outcome is None:
        book.problem(f"{request.call}: no outcome after {len(request.attempts)} attempts")
    elif outcome.status == Status.PERSON_ID_NOT_EXIST and request.call in (GIVE_FACE, TAKE_FACE):
        if not book.is_deleted(request.person_id):
            book.judged(Judged({request.person_id: f"{request.person_id} was added, and is unknown"}, ()))
    elif outcome.status == Status.PERSON_ID_NOT_EXIST:
        sentence = f"{request.person_id} was added, and is unknown when it is to be deleted"
        book.judged(Judged({request.person_id: sentence}, ()))
    elif not request.acknowledged:
        book.problem(f"{request.call}: answered {outcome.status}")


def _answered(caller: Caller, request: Request, end: float) -> Attempt | None:
    """Return the first answer that is not FAIL, of attempts that begin before `end`."""
    while time.monotonic() < end:
        attempt = caller.ask(request, Book([], 0), lambda: time.monotonic() > end)
        if attempt is not None and attempt.status not in NO_OUTCOME:
            return attempt
        time.sleep(PAUSE_S)
    return None


def _to_repeat(book: Book) -> list[Request]:
    settled = [r for r in book.requests if r.outcome is not None and not r.call.is_reading]
    several = [request for request in settled if len(request.attempts) > 1]
    one = [request for request in settled if len(request.attempts) == 1]
    return several[:REPEATED] + one[:: max(1, len(one) // REPEATED_ONCE)]
