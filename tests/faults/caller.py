"""A caller: sends an attempt of a request over HTTP and judges the answer by the contract."""

import base64
import time
from collections.abc import Callable, Sequence
from functools import cache
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlencode

import httpx

import portraits
from faults.book import BROKEN, GIVE_FACE, Attempt, Book, Request
from oracle import Answer, breach
from processes import is_ready
from row_requests import RowRequest, row_request
from shared.calls import ADD_FACE, COMPARE_FACES, SEARCH_FACE
from shared.contract import Status

LATE_S: Final = 2.0
"""How much longer than the service's deadline an answer may take."""

PATIENCE_S: Final = 10.0
"""How much longer than that the caller waits for an answer, to distinguish a late answer from none."""

REFUSED_S: Final = 0.1
"""Pause after all addresses have refused connections."""

LATER_S: Final = 120.0
"""Seconds within which a job must end that nobody waits for: the service has recovered by then, with time to spare."""

POLL_S: Final = 0.05
"""Seconds between two look-ups of a job: more often than callers should, so that they see it in every state."""

LOOK_S: Final = 0.2
"""How long a caller of several gateways relies on the readiness of the current one."""


class Caller:
    """A client with a connection of its own. Threads may not share it.

    urls: of gateways; where one refuses connections, the next one is tried within the same attempt. webhook: the URL to
    which outcomes of jobs are sent, "" for none.
    """

    def __init__(self, urls: Sequence[str], key: str, deadline_s: float, webhook: str = "") -> None:
        self._urls = urls
        self._webhook = webhook
        self._at = 0
        self._trusted_until = 0.0
        self._late_s = deadline_s + LATE_S
        headers = {"X-API-Key": key, "Content-Type": "application/x-www-form-urlencoded"}
        self._http = httpx.Client(headers=headers, timeout=self._late_s + PATIENCE_S)

    def close(self) -> None:
        self._http.close()

    def ask(self, request: Request, book: Book, give_up: Callable[[], bool]) -> Attempt | None:
        """Send a request once and record the attempt, with its outcome if it becomes a job. Returns None if all
        addresses refuse until give_up returns true.
        """
        while True:
            if len(self._urls) > 1:
                self._choose()
            began = time.monotonic()
            try:
                to_send = _sent(request)
                answer = self._http.request(
                    to_send.method,
                    f"{self._urls[self._at]}{to_send.target}",
                    content=_form(request, to_send) if request.call.has_body else None,
                    headers={"Idempotency-Key": request.key} | self._preference(request),
                )
            except httpx.ConnectError:
                self._next()
                if give_up():
                    return None
                time.sleep(REFUSED_S)
                continue
            except httpx.TimeoutException:
                attempt = Attempt(began, time.monotonic(), BROKEN)
                book.problem(f"{request.call}: no answer in {attempt.ended - began:.1f} s")
            except httpx.TransportError:
                attempt = Attempt(began, time.monotonic(), BROKEN)
            else:
                if answer.status_code == HTTPStatus.ACCEPTED:
                    attempt = self._of_job(answer, request, book, began)
                else:
                    attempt = self._read(answer, request, book, began)
            book.note(request, attempt)
            return attempt

    def _preference(self, request: Request) -> dict[str, str]:
        """Return the headers of a request that is not waited for."""
        if not request.later:
            return {}
        return {"Prefer": "respond-async"} | ({"X-Webhook-Url": self._webhook} if self._webhook else {})

    def _of_job(self, accepted: httpx.Response, request: Request, book: Book, began: float) -> Attempt:
        """Look up the job that a request became, until it has ended, and return its outcome."""
        job_id = str(accepted.json()["message"]["job_id"])
        end = time.monotonic() + LATER_S
        while time.monotonic() < end:
            try:
                found = self._http.get(f"{self._urls[self._at]}/v1/jobs/{job_id}")
            except httpx.TransportError:
                self._next()
                time.sleep(REFUSED_S)
                continue
            if found.status_code == HTTPStatus.NOT_FOUND:
                book.problem(f"{request.call}: job {job_id} was accepted, and is unknown: {found.text}")
                return Attempt(began, time.monotonic(), BROKEN)
            if found.headers.get("X-Job-Id") == job_id:
                attempt = self._judged(found, request, book, began)
                if attempt.status != BROKEN:
                    book.job_ended(job_id, attempt)
                return attempt
            time.sleep(POLL_S)
        book.problem(f"{request.call}: job {job_id} was accepted, and has no outcome after {LATER_S:g} s")
        return Attempt(began, time.monotonic(), BROKEN)

    def _choose(self) -> None:
        """Choose an address that is ready, or else the next one."""
        for _ in self._urls:
            if time.monotonic() < self._trusted_until:
                return
            if is_ready(self._urls[self._at]):
                self._trusted_until = time.monotonic() + LOOK_S
            else:
                self._next()

    def _next(self) -> None:
        self._at = (self._at + 1) % len(self._urls)
        self._trusted_until = 0.0

    def _read(self, answer: httpx.Response, request: Request, book: Book, began: float) -> Attempt:
        ended = time.monotonic()
        if ended - began > self._late_s:
            book.problem(f"{request.call}: answered {answer.text[:60]} after {ended - began:.1f} s")
        return self._judged(answer, request, book, began)

    def _judged(self, answer: httpx.Response, request: Request, book: Book, began: float) -> Attempt:
        ended = time.monotonic()
        read = Answer(answer.status_code, dict(answer.headers), answer.content)
        wrong = _breach(read, request)
        if wrong is not None:
            book.problem(f"{request.call}: {wrong}: HTTP {answer.status_code} {answer.text[:200]}")
            return Attempt(began, ended, BROKEN)
        body = read.json()
        return Attempt(began, ended, body["status"], body["message"])


def _breach(answer: Answer, request: Request) -> str | None:
    """Return how an answer breaks the contract or cannot be an answer to this request; None if it is right."""
    wrong = breach(answer, request.call)
    if wrong is not None:
        return wrong
    status, message = answer.json().values()
    if status == Status.INVALID_REQUEST:
        return "nothing was wrong with the request"
    return _wrong_result(message, request) if status == Status.OK else None


def _wrong_result(message: Any, request: Request) -> str | None:
    """Return why the message of OK cannot be an answer to this request."""
    # All requests about a person send one portrait, so what is found or compared is the same for certain.
    another = "another face than that of the portrait"
    if request.call == ADD_FACE and [face["name"] for face in message] != [request.name]:
        return "not one face with the name that was given"
    if request.call == GIVE_FACE and [face["person_id"] for face in message] != [request.person_id]:
        return "not one face of the person that was given"
    if request.call == SEARCH_FACE and any(face["confidence"] != 100 for face in message):
        return another
    return another if request.call == COMPARE_FACES and message["similarity"] != 100 else None


def _sent(request: Request) -> RowRequest:
    """Return the request without its images."""
    own = {"name": request.name, "person_id": request.person_id, "face_id": request.face_id}
    texts = {name: own.get(name, value) for name, value in request.call.example.items()} | {"facedb": request.facedb}
    return row_request(request.call, texts | ({"unique": "95"} if request.unique else {}))


def _form(request: Request, to_send: RowRequest) -> bytes:
    images = (f"&{name}=".encode() + _portrait(request.of_regular) for name in request.call.image_parameters)
    return urlencode(to_send.form).encode() + b"".join(images)


@cache
def _portrait(of_regular: bool) -> bytes:
    """Return the portrait of all requests, or that of REGULAR: small, so that the load costs the service and not the
    callers.
    """
    photo = portraits.hopper_jpeg() if of_regular else portraits.astronaut_png()
    image = portraits.reencode(portraits.scale(photo, 0.5), 80)
    return urlencode({"": base64.b64encode(image).decode()}).encode().removeprefix(b"=")
