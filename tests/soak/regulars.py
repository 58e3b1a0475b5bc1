"""Regular callers: each has a facedb of its own, adds as many faces as it deletes, and knows which faces
must be found.
"""

import asyncio
import base64
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from http import HTTPStatus
from time import monotonic
from typing import Any, Final

import httpx

from faults.book import Expected
from faults.check import judge
from fuzz.mutations import seeded
from oracle import Answer, breach
from portraits import astronaut_png, bmp, hopper_jpeg, jpeg, pixels, png, reencode, scale
from row_requests import row_request
from shared.calls import ADD_FACE, CALLS, DELETE_FACE, SEARCH_FACE, Call
from shared.contract import FACE_DELETED, Status
from shared.idempotency import HEADER

REGULARS: Final = 6
"""Number of callers: more than the threads of a worker on two cores."""

USUAL: Final = 20
"""Faces of a facedb around which their number varies: it stays below 50, so that a search lists them all."""

LATER: Final = 0.15
"""Part of the requests that prefer not to be waited for, of those that may."""

POLL_S: Final = 0.2
"""Seconds between two look-ups of a job."""

LATER_S: Final = 60.0
"""Seconds within which a job must end that nobody waits for."""

KEYED: Final = 0.5
"""Part of the requests that have an Idempotency-Key."""

LATE_S: Final = 2.0
"""How much longer than the service's deadline an answer may take."""

PATIENCE_S: Final = 20.0
"""How much longer than the deadline an answer is waited for."""

NAMED: Final = 0.5
"""Part of the adds that give a name."""

OTHERS: Final = tuple(
    call for call in CALLS if call not in (ADD_FACE, SEARCH_FACE, DELETE_FACE) and not call.path_parameters
)
"""The calls that change nothing and need no person."""

BAD_KEYS: Final = ("x" * 256, "two words", "")
"""Invalid Idempotency-Keys."""


@dataclass(frozen=True)
class KeyedRequest:
    """A request under an Idempotency-Key, and its outcome."""

    call: Call
    fields: Mapping[str, str]
    key: str
    status: str
    message: Any


@dataclass
class Tally:
    """The results of all requests. keyed, unnamed, deletions: how many requests were of this kind, whatever their
    outcome. jobs: status and message of each asynchronous job, by its id.
    """

    requests: int = 0
    keyed: int = 0
    unnamed: int = 0
    deletions: int = 0
    lost: set[str] = field(default_factory=set)
    doubled: set[str] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)
    jobs: dict[str, tuple[str, Any]] = field(default_factory=dict)


class Regular:
    """One caller with one request at a time. number: the caller's index, from 0. deadline_s: the service's. webhook:
    the URL to which outcomes of jobs are sent, "" for none.
    """

    def __init__(
        self,
        http: httpx.AsyncClient,
        facedb: str,
        number: int,
        seed: int,
        tally: Tally,
        deadline_s: float,
        webhook: str = "",
    ) -> None:
        self._http = http
        self._facedb = facedb
        self._image = base64.b64encode(_images()[number % len(_images())]).decode()
        self._random = seeded(seed, number)
        self._tally = tally
        self._late_s = deadline_s + LATE_S
        self._later = {"Prefer": "respond-async"} | ({"X-Webhook-Url": webhook} if webhook else {})
        self._there: dict[str, str] = {}
        self._gone: dict[str, str] = {}
        self._last: KeyedRequest | None = None
        self._named = 0

    async def begin(self) -> None:
        """Add the first face without a name, so that the facedb's counter of names exists before anything
        is measured.
        """
        await self._add(named=False)

    async def run(self, over: Callable[[], bool]) -> None:
        """Send one request after the other until `over` returns true."""
        often = {self._change: 12, self.search: 5, self._repeat: 3}
        steps = often | dict.fromkeys((self._other, self._delete_again, self._misuse), 1)
        while not over():
            (step,) = self._random.choices(list(steps), weights=list(steps.values()))
            await step()

    async def search(self) -> None:
        """Search, and check that all acknowledged faces are found, and no other."""
        status, message = await self._ask(SEARCH_FACE, {"img": self._image})
        if status not in (Status.OK, Status.NO_SIMILAR_FACE):
            self._problem(SEARCH_FACE, status, message)
            return
        expected = Expected(self._there, self._gone, {}, frozenset())
        judged = judge(message if status == Status.OK else [], expected, expected)
        self._tally.lost.update(judged.lost)
        self._tally.doubled.update(judged.doubled)

    async def _other(self) -> None:
        """Send a valid request of one of the other calls."""
        call = self._random.choice(OTHERS)
        status, message = await self._ask(call, {**dict.fromkeys(call.image_parameters, self._image), **call.example})
        if status != Status.OK:
            self._problem(call, status, message)

    async def _change(self) -> None:
        """Add or delete a face; the more faces there are, the more likely is a deletion."""
        if self._random.random() * 2 * USUAL > len(self._there):
            await self._add(named=self._random.random() < NAMED)
        else:
            await self._delete(self._random.choice(list(self._there)))

    async def _add(self, *, named: bool) -> None:
        fields = {"img": self._image}
        if named:
            self._named += 1
            fields["name"] = f"n{self._named}"
        else:
            self._tally.unnamed += 1
        status, message = await self._ask(ADD_FACE, fields)
        if status != Status.OK or len(message) != 1 or message[0]["name"] != fields.get("name", message[0]["name"]):
            self._problem(ADD_FACE, status, message)
            return
        (face,) = message
        if face["person_id"] in self._there or face["person_id"] in self._gone:
            self._tally.doubled.add(f"{face['person_id']} was given twice")
        self._there[face["person_id"]] = face["name"]

    async def _delete(self, person_id: str) -> None:
        self._tally.deletions += 1
        status, message = await self._ask(DELETE_FACE, {"person_id": person_id})
        if status == Status.PERSON_ID_NOT_EXIST:
            self._tally.lost.add(f"{person_id} was added, and is unknown when it is to be deleted")
        elif (status, message) != (Status.OK, FACE_DELETED):
            self._problem(DELETE_FACE, status, message)
            return
        self._gone[person_id] = self._there.pop(person_id)

    async def _delete_again(self) -> None:
        """Delete a deleted face again, which must be unknown."""
        if not self._gone:
            return
        self._tally.deletions += 1
        person_id = self._random.choice(list(self._gone))
        status, message = await self._ask(DELETE_FACE, {"person_id": person_id})
        if status == Status.OK:
            self._tally.doubled.add(f"{person_id} was deleted twice")
        elif status != Status.PERSON_ID_NOT_EXIST:
            self._problem(DELETE_FACE, status, message)

    async def _repeat(self) -> None:
        """Repeat the last request with an Idempotency-Key, which must have the same outcome and no effect."""
        last = self._last
        if last is None:
            return
        status, message = await self._send(last.call, last.fields, last.key)
        if (status, message) != (last.status, last.message):
            self._problem(f"{last.call}, which was {last.status} {last.message}, again", status, message)

    async def _misuse(self) -> None:
        """Send another request under the key of the last one, or under an invalid key."""
        key = self._last.key if self._last is not None else "y" * 256
        key = self._random.choice((key, *BAD_KEYS))
        status, message = await self._send(DELETE_FACE, {"person_id": str(uuid.uuid4())}, key)
        if status != Status.INVALID_REQUEST:
            self._problem(f"{DELETE_FACE} under a key that is used or none", status, message)

    async def _ask(self, call: Call, fields: Mapping[str, str]) -> tuple[str, Any]:
        """Send a request, half of the time with an Idempotency-Key. Returns status and message."""
        if call.is_reading or self._random.random() >= KEYED:
            return await self._send(call, fields, None)
        self._tally.keyed += 1
        key = f"{self._facedb}-{self._random.getrandbits(128):x}"
        status, message = await self._send(call, fields, key)
        if status != Status.FAIL:
            self._last = KeyedRequest(call, fields, key, status, message)
        return status, message

    async def _send(self, call: Call, fields: Mapping[str, str], key: str | None) -> tuple[str, Any]:
        self._tally.requests += 1
        headers = {} if key is None else {HEADER: key}
        if call.may_be_asynchronous and self._random.random() < LATER:
            headers |= self._later
        began = monotonic()
        try:
            to_send = row_request(call, {"facedb": self._facedb, **fields})
            answer = await self._http.request(
                to_send.method, to_send.target, data=to_send.form or None, headers=headers
            )
        except httpx.TransportError as error:
            return Status.FAIL, f"{type(error).__name__}: {error}"
        took_s = monotonic() - began
        job_id = None
        if answer.status_code == HTTPStatus.ACCEPTED:
            job_id = answer.json()["message"]["job_id"]
            answer = await self._outcome(job_id)
        problem = breach(Answer(answer.status_code, dict(answer.headers), answer.content), call)
        if problem is not None or took_s > self._late_s:
            self._problem(f"{call}, {problem or 'late'} after {took_s:.1f} s", str(answer.status_code), answer.text)
        body = answer.json()
        outcome = (body["status"], body["message"])
        if job_id is not None and self._tally.jobs.setdefault(job_id, outcome) != outcome:
            self._problem(f"job {job_id} ended as {self._tally.jobs[job_id]}, and then as", *outcome)
        return outcome

    async def _outcome(self, job_id: str) -> httpx.Response:
        """Look a job up until it has ended, and return that answer, or the last one after LATER_S."""
        end = monotonic() + LATER_S
        while True:
            self._tally.requests += 1
            answer = await self._http.get(f"/v1/jobs/{job_id}")
            if answer.status_code != HTTPStatus.ACCEPTED or monotonic() > end:
                return answer
            await asyncio.sleep(POLL_S)

    def _problem(self, what: str, status: str, message: Any) -> None:
        self._tally.problems.append(f"{self._facedb}: {what}: {status} {str(message)[:200]}")


@cache
def _images() -> tuple[bytes, ...]:
    """Return images of one face each, in every format. Small, so that the load costs the service, not the callers."""
    small = scale(astronaut_png(), 0.5), scale(hopper_jpeg(), 0.5)
    return (
        reencode(small[0], 80),
        small[1],
        bmp(pixels(scale(astronaut_png(), 0.4))),
        jpeg(pixels(small[1]), 90, progressive=True),
        png(pixels(small[0])),
        hopper_jpeg(),
    )
