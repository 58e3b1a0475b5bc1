"""Callers that add, search and delete without a pause, and repeat requests without an answer under their keys."""

import threading
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import closing
from random import Random
from typing import Final, Self

from faults.book import FACES, GIVE_FACE, LOADED, NO_OUTCOME, REGULAR, RIGHT, TAKE_FACE, Book, Request
from faults.caller import Caller
from faults.check import judge
from faults.webhooks import Webhooks
from processes import wait_for
from shared.calls import ADD_FACE, LIST_PERSONS, SEARCH_FACE, Call
from shared.contract import Status

CALLERS: Final = 4
"""Twice the threads of a worker on two cores: some jobs run whenever a process is killed, and some wait."""

PAUSE_S: Final = 0.1
"""Pause after a FAIL or a broken connection, which leaves the CPU to processes that start again."""

REPEAT: Final = 0.5
"""Probability that a caller without an answer repeats that request next; otherwise it sends a new one and leaves the
old one for later.
"""

MIX: Final = (ADD_FACE, *LOADED, GIVE_FACE, TAKE_FACE)
"""The calls that callers choose from."""

LATER: Final = 0.25
"""Part of the requests that nobody waits for, of those that may be such."""

RECOVER_S: Final = 90.0
"""Seconds within which the service must answer normally again."""

SETTLE_S: Final = 30.0
"""Seconds after that within which every request must have an outcome."""


class Load:
    """A load that runs inside a with block. book: its requests and answers so far. seed: of all random choices.

    urls, key, deadline_s: of the service. facedbs: empty ones, for that many faces each. webhooks: where the requests
    that nobody waits for have their outcomes sent, if anywhere. later: which part of those that may be are such.
    """

    def __init__(
        self,
        urls: Sequence[str],
        key: str,
        deadline_s: float,
        facedbs: list[str],
        seed: int,
        callers: int = CALLERS,
        faces: int = FACES,
        webhooks: Webhooks | None = None,
        later: float = LATER,
    ) -> None:
        self.book = Book(facedbs, seed, faces)
        self.seed = seed
        self._webhooks = webhooks
        self._name = uuid.uuid4().hex
        self._later = later
        self._where = (urls, key, deadline_s, "" if webhooks is None else webhooks.url(self._name))
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._call_on, args=(Random(f"{seed}.{number}"),))  # noqa: S311 -- repeatable
            for number in range(callers)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    @property
    def served(self) -> int:
        """Return how many attempts were acknowledged."""
        return sum(attempt.status in RIGHT[request.call] for request, attempt in self.book.attempts())

    def go_on(self, count: int, seconds: float = 60) -> None:
        """Wait until that many more attempts were served. Fails after that many seconds."""
        least = self.served + count
        wait_for(lambda: self.served >= least, seconds)

    def ask(self, call: Call) -> str:
        """Send one new request from another caller. Returns its status, "" if all addresses refuse."""
        with closing(self.caller()) as caller:
            request = self.book.new(call)
            self._ask(caller, request, lambda: True)
            return request.attempts[-1].status if request.attempts else ""

    def recovered(self, over: float) -> float:
        """Return the seconds from `over`, a time of the monotonic clock, until a request of each call that began after
        it had been answered as it must be. Fails after RECOVER_S.

        Callers may still wait for earlier requests, so more callers probe, one for each call.
        """
        found = threading.Event()
        probes = [threading.Thread(target=self._probe, args=(call, found)) for call in LOADED]
        for probe in probes:
            probe.start()
        try:
            wait_for(lambda: len(self._first_since(over)) == len(LOADED), RECOVER_S)
        finally:
            found.set()
            for probe in probes:
                probe.join()
        return max(self._first_since(over).values()) - over

    def settle(self) -> None:
        """Repeat requests without an outcome until they have one, for SETTLE_S at most, after the load."""
        end = time.monotonic() + SETTLE_S
        left = self.book.without_outcome()
        threads = [threading.Thread(target=self._settle, args=(left[start::CALLERS], end)) for start in range(CALLERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def check_webhooks(self, seconds: float) -> None:
        """Judge the webhooks of all jobs that have ended, in the book, once they came or that time is over."""
        if self._webhooks is not None:
            for problem in self._webhooks.problems(self._name, self.book.jobs, seconds):
                self.book.problem(problem)

    def caller(self) -> Caller:
        """Return another caller, which is to be closed."""
        return Caller(*self._where)

    def _first_since(self, over: float) -> dict[Call, float]:
        """Return when each of LOADED was first answered as it must be, of the attempts that began after `over`."""
        firsts: dict[Call, float] = {}
        for request, attempt in self.book.attempts():
            if request.call in LOADED and attempt.began >= over and attempt.status in RIGHT[request.call]:
                firsts[request.call] = min(attempt.ended, firsts.get(request.call, attempt.ended))
        return firsts

    def _call_on(self, chance: Random) -> None:
        left: Request | None = None
        with closing(self.caller()) as caller:
            while not self._stop.is_set():
                request = left
                if request is None or chance.random() >= REPEAT:
                    request = self.book.new(chance.choice(MIX), later=chance.random() < self._later)
                if self._ask(caller, request, self._stop.is_set):
                    left = None if request is left else left
                else:
                    left = request
                    self._stop.wait(PAUSE_S)

    def _probe(self, call: Call, found: threading.Event) -> None:
        with closing(self.caller()) as caller:
            while not found.is_set():
                if not self._ask(caller, self.book.new(call), found.is_set):
                    found.wait(PAUSE_S)

    def _settle(self, requests: Sequence[Request], end: float) -> None:
        """Send them one after the other, so that one that keeps failing does not take the time of the others."""

        def late() -> bool:
            return time.monotonic() > end

        with closing(self.caller()) as caller:
            left = list(requests)
            while left and not late():
                left = [request for request in left if late() or not self._ask(caller, request, late)]
                if left:
                    time.sleep(PAUSE_S)

    def _ask(self, caller: Caller, request: Request, give_up: Callable[[], bool]) -> bool:
        """Return whether the request has an outcome now. Judges the result of a search unless it may be an
        earlier one, and every list of persons.
        """
        before = self.book.expected(request.facedb)
        attempt = caller.ask(request, self.book, give_up)
        if attempt is None or attempt.status in NO_OUTCOME:
            return False
        found = None
        if request.call == SEARCH_FACE and len(request.attempts) == 1:
            found = attempt.message if attempt.status == Status.OK else []
        elif request.call == LIST_PERSONS:
            # All of them: a facedb has fewer than a page.
            found = [person for person in attempt.message["persons"] if person["name"] != REGULAR]
        if found is not None:
            self.book.judged(judge(found, before, self.book.expected(request.facedb)))
        return True
