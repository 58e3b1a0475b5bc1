"""The requests of a load and their answers, by which the service is judged."""

import threading
import uuid
from collections import defaultdict
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, Final

from shared.calls import ADD_FACE, CALLS, DELETE_FACE, DELETE_FACE_OF_PERSON, SEARCH_FACE, Call
from shared.contract import Status

BROKEN: Final = "broken"
"""In the place of a status: the connection ended without an answer."""

NO_OUTCOME: Final = frozenset({Status.FAIL, BROKEN})
"""Statuses that leave open whether the request was done: it is sent again under its Idempotency-Key."""

GIVE_FACE: Final = replace(ADD_FACE, example={"person_id": "", "details": "1"})
"""addface with a person_id: it adds a face to a person. With details, so that the answer has its id."""

TAKE_FACE: Final = DELETE_FACE_OF_PERSON

MOST_GIVEN: Final = 20
"""Faces that are given to one person at most, far below what a person can have."""

FACES: Final = 40
"""Adds to one facedb at most. A search lists 50 faces, so one search lists all that is in it."""


REGULAR: Final = "regular"
"""The name of the person who is added with `unique` to every facedb, again and again, by another portrait. Nobody
deletes that person."""

AGAIN: Final = 0.25
"""Part of the adds that are such."""


@dataclass(frozen=True)
class Attempt:
    """One HTTP request. began, ended: seconds of the monotonic clock. status, message: the contract's, or BROKEN."""

    began: float
    ended: float
    status: str
    message: Any = None


@dataclass
class Request:
    """A request under one Idempotency-Key, with its attempts. name: of an add. person_id: of a deletion, and of what
    changes the faces of a person. face_id: of the face that is taken. of_regular: whether its portrait is that of
    REGULAR. unique: of an add. later: whether it prefers not to be waited for, so that each attempt is a job.
    """

    call: Call
    facedb: str
    name: str = ""
    person_id: str = ""
    face_id: str = ""
    of_regular: bool = False
    unique: bool = False
    later: bool = False
    key: str = field(default_factory=lambda: uuid.uuid4().hex)
    attempts: list[Attempt] = field(default_factory=list)

    @property
    def outcome(self) -> Attempt | None:
        """Return the first attempt whose answer is not FAIL, None if there is none."""
        return next((attempt for attempt in self.attempts if attempt.status not in NO_OUTCOME), None)

    @property
    def acknowledged(self) -> bool:
        """Return whether the outcome is one of RIGHT."""
        outcome = self.outcome
        return outcome is not None and outcome.status in RIGHT[self.call]

    @property
    def added(self) -> str:
        """Return the id of the face of an acknowledged add, else ""."""
        outcome = self.outcome
        return str(outcome.message[0]["person_id"]) if outcome is not None and self.acknowledged else ""

    @property
    def given(self) -> str:
        """Return the id of the face that was given to a person, once that is acknowledged, else ""."""
        outcome = self.outcome
        return str(outcome.message[0]["face_id"]) if outcome is not None and self.acknowledged else ""


LOADED: Final = tuple(call for call in CALLS if not call.path_parameters)
"""The calls that a load is made of: all that need no person."""

CHANGES: Final = (ADD_FACE, DELETE_FACE, GIVE_FACE, TAKE_FACE)
"""The requests that change what is stored."""

RIGHT: Final = {call: call.statuses & {Status.OK, Status.NO_SIMILAR_FACE} for call in (*CALLS, GIVE_FACE)}
"""Statuses of a healthy service: every image shows a face, and only faces that were added are deleted."""


@dataclass(frozen=True)
class Expected:
    """The faces that a facedb must hold, as names by ids of acknowledged adds.

    there: no deletion was requested. gone: the deletion was acknowledged. open_: the deletion has no outcome. asked:
    names of adds without an outcome.
    """

    there: dict[str, str]
    gone: dict[str, str]
    open_: dict[str, str]
    asked: frozenset[str]


@dataclass(frozen=True)
class ExpectedFaces:
    """The ids of the faces that a person must have. there, gone: acknowledged, so for certain. open_: they may be there
    or not. unsaid: how many more may be there, of requests without an outcome.
    """

    there: frozenset[str]
    gone: frozenset[str]
    open_: frozenset[str]
    unsaid: int


@dataclass(frozen=True)
class Judged:
    """Broken promises, as sentences. lost: acknowledged changes that are gone, by face. doubled: faces that are there
    twice, or whose id is in no answer.
    """

    lost: dict[str, str]
    doubled: tuple[str, ...]


class Book:
    """Every request of one load. Threads may share it.

    facedbs: empty ones that nothing else uses. faces: how many each takes. jobs: status and message of each job that
    was seen to end, by its id.
    """

    def __init__(self, facedbs: list[str], seed: int, faces: int = FACES) -> None:
        self.requests: list[Request] = []
        self.lost: dict[str, str] = {}
        self.doubled: set[str] = set()
        self.problems: list[str] = []
        self.jobs: dict[str, tuple[str, Any]] = {}
        self._facedbs = facedbs
        self._faces = faces
        self._random = Random(seed)  # noqa: S311 -- repeatable, not secret
        self._lock = threading.RLock()
        self._adds: defaultdict[str, list[Request]] = defaultdict(list)
        self._deletions: dict[str, Request] = {}
        self._deletable: list[tuple[str, str]] = []
        self._gives: defaultdict[tuple[str, str], list[Request]] = defaultdict(list)
        self._takes: dict[str, Request] = {}
        self._takeable: list[tuple[str, str, str]] = []

    def new(self, call: Call, *, later: bool = False) -> Request:
        """Return the next request of that call: an add while nothing was added, a search instead of what needs a person
        or a face while there is none. later: whether it prefers not to be waited for, if it may.

        Raises LookupError when all facedbs are full.
        """
        with self._lock:
            if call == ADD_FACE and self._adds and self._random.random() < AGAIN:
                facedb = self._random.choice(list(self._adds))
                made = Request(ADD_FACE, facedb, name=REGULAR, of_regular=True, unique=True)
            elif call == ADD_FACE or not self._adds:
                count = sum(map(len, self._adds.values()))
                if count >= self._faces * len(self._facedbs):
                    raise LookupError(f"all {len(self._facedbs)} facedbs are full")
                made = Request(ADD_FACE, self._facedbs[count // self._faces], name=f"n{count}")
                self._adds[made.facedb].append(made)
            elif call == DELETE_FACE and self._deletable:
                facedb, person_id = self._deletable.pop(self._random.randrange(len(self._deletable)))
                made = Request(DELETE_FACE, facedb, person_id=person_id)
                self._deletions[person_id] = made
            elif call == GIVE_FACE and self._deletable:
                facedb, person_id = self._random.choice(self._deletable)
                made = Request(GIVE_FACE, facedb, person_id=person_id)
                if len(self._gives[facedb, person_id]) == MOST_GIVEN:
                    made = Request(SEARCH_FACE, facedb)
                else:
                    self._gives[facedb, person_id].append(made)
            elif call == TAKE_FACE and self._takeable:
                facedb, person_id, face_id = self._takeable.pop(self._random.randrange(len(self._takeable)))
                made = self._takes[face_id] = Request(TAKE_FACE, facedb, person_id=person_id, face_id=face_id)
            else:
                is_change = call in (DELETE_FACE, GIVE_FACE, TAKE_FACE)
                made = Request(SEARCH_FACE if is_change else call, self._random.choice(list(self._adds)))
            made.later = later and made.call.may_be_asynchronous
            self.requests.append(made)
            return made

    def note(self, request: Request, attempt: Attempt) -> None:
        """Record an attempt."""
        with self._lock:
            had = request.outcome
            request.attempts.append(attempt)
            if request.call == ADD_FACE and not request.of_regular and had is None and request.added:
                self._deletable.append((request.facedb, request.added))
            elif request.call == GIVE_FACE and had is None and request.given:
                self._takeable.append((request.facedb, request.person_id, request.given))

    def problem(self, text: str) -> None:
        """Record a broken promise that is neither a loss nor a double."""
        with self._lock:
            self.problems.append(text)

    def job_ended(self, job_id: str, outcome: Attempt) -> None:
        """Record the outcome of a job. A repeated request may see it again, and it is the same."""
        ended = (outcome.status, outcome.message)
        with self._lock:
            before = self.jobs.setdefault(job_id, ended)
        if before != ended:
            self.problem(f"job {job_id} ended as {before}, and then as {ended}")

    def judged(self, by: Judged) -> None:
        """Record losses and doubles, each once."""
        with self._lock:
            self.lost.update(by.lost)
            self.doubled.update(by.doubled)

    def expected(self, facedb: str) -> Expected:
        """Return what the facedb must hold now."""
        with self._lock:
            there, gone, open_ = {}, {}, {}
            for add in self._adds[facedb]:
                if not add.added:
                    continue
                deletion = self._deletions.get(add.added)
                where = there if deletion is None else gone if deletion.acknowledged else open_
                where[add.added] = add.name
            asked = frozenset(add.name for add in self._adds[facedb] if add.outcome is None)
            return Expected(there, gone, open_, asked)

    def regulars(self, facedb: str) -> tuple[set[str], int]:
        """Return the ids that acknowledged adds of REGULAR to a facedb named, and how many of these said that they
        added.
        """
        with self._lock:
            adds = [each for each in self.requests if each.unique and each.facedb == facedb and each.acknowledged]
            new = [add for add in adds if add.outcome is not None and "existing" not in add.outcome.message[0]]
            return {add.added for add in adds}, len(new)

    def is_deleted(self, person_id: str) -> bool:
        """Return whether it was asked to delete the person."""
        with self._lock:
            return person_id in self._deletions

    def persons_with_faces(self) -> dict[tuple[str, str], ExpectedFaces]:
        """Return what faces the persons must have now to whom some were given, by facedb and person_id; without those
        whom it was asked to delete.
        """
        with self._lock:
            found = {}
            for (facedb, person_id), gives in self._gives.items():
                if person_id in self._deletions:
                    continue
                faces = {give.given for give in gives if give.given}
                asked = {face: self._takes[face] for face in faces if face in self._takes}
                gone = frozenset(face for face, take in asked.items() if take.acknowledged)
                found[facedb, person_id] = ExpectedFaces(
                    there=frozenset({person_id, *faces}) - asked.keys(),
                    gone=gone,
                    open_=frozenset(asked) - gone,
                    unsaid=sum(give.outcome is None for give in gives),
                )
            return found

    def facedbs(self) -> list[str]:
        """Return the facedbs that something was added to."""
        with self._lock:
            return list(self._adds)

    def without_outcome(self) -> list[Request]:
        with self._lock:
            return [request for request in self.requests if request.outcome is None]

    def attempts(self) -> list[tuple[Request, Attempt]]:
        with self._lock:
            return [(request, attempt) for request in self.requests for attempt in request.attempts]
