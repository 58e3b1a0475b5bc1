"""A short run of `make faults` in every test run, and proof that broken promises are found."""

import time
import uuid
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from redis import Redis as BlockingRedis

from faults import stages
from faults.book import REGULAR, Book, Request
from faults.load import Load
from faults.rows import PromiseBroken, Result, Row, play
from faults.rows_kills import ROWS
from processes import wait_for
from service import UNHURRIED, Service
from shared.asynchronous import key_of
from shared.calls import ADD_FACE, DELETE_FACE

pytestmark = pytest.mark.slow

SEED = 1
FORGETTING_S = 60.0
"""Seconds in which a job is forgotten between its end and the next look of its caller, a 20th of a second later."""

PLAYED = (
    "kill -9 worker",
    "kill -9 all vision processes",
    "a photo needs more memory than there is",
    "kill -9 the fork server",
    "kill -9 gateway",
)


@pytest.mark.embedded("it kills servers of its own")
def test_promises_are_kept_when_processes_are_killed(tmp_path: Path) -> None:
    chosen = [row for row in ROWS if row.name in PLAYED]
    assert len(chosen) == len(PLAYED)
    with stages.up(tmp_path) as stage:
        for row in chosen:
            result = play(row, stage, SEED)
            print(result)
            assert result.kept, "\n".join(result.problems)
            assert result.acknowledged > 0


class TestABrokenPromiseIsFound:
    """False faults: nothing happens to the service, but something is changed behind the callers' backs."""

    def test_an_undisturbed_service_breaks_no_promise(self, service: Service) -> None:
        result = self.played(service, lambda *_: time.monotonic())
        assert result.kept, result.problems
        assert (result.failed, result.broken) == (0, 0)

    def test_a_removed_face_is_lost(self, service: Service) -> None:
        def taken_away(_: object, load: Load) -> float:
            while True:  # again only if the load deletes the same face at the same moment
                facedb, there = self.first(load, lambda facedb: load.book.expected(facedb).there)
                if self.ask(load, Request(DELETE_FACE, facedb, person_id=next(iter(there)))):
                    return time.monotonic()

        result = self.played(service, taken_away)
        assert result.lost == 1
        assert not result.kept

    def test_a_face_that_was_added_twice_is_doubled(self, service: Service) -> None:
        def added_again(_: object, load: Load) -> float:
            facedb, there = self.first(load, lambda facedb: load.book.expected(facedb).there)
            assert self.ask(load, Request(ADD_FACE, facedb, name=next(iter(there.values()))))
            return time.monotonic()

        result = self.played(service, added_again)
        assert result.doubled >= 1, "an unknown id, and a name that is there twice until one is deleted"
        assert not result.kept

    def test_a_person_who_is_added_twice_where_nobody_may_be_is_doubled(self, service: Service) -> None:
        def added_again(_: object, load: Load) -> float:
            facedb, _ = self.first(load, lambda facedb: load.book.regulars(facedb)[1])
            assert self.ask(load, Request(ADD_FACE, facedb, name=REGULAR, of_regular=True))
            return time.monotonic()

        result = self.played(service, added_again)
        assert result.doubled == 1
        assert not result.kept

    def test_a_job_that_was_accepted_and_is_unknown_is_a_problem(self, service: Service) -> None:
        def forgotten(_: object, load: Load) -> float:
            end = time.monotonic() + FORGETTING_S
            with BlockingRedis.from_url(service.broker) as redis:
                while time.monotonic() < end and not load.book.problems:
                    for key in redis.scan_iter(key_of("*")):
                        if redis.hexists(key, "ended"):  # or it would count as waiting for ever
                            redis.delete(key)
            return time.monotonic()

        result = self.played(service, forgotten)
        assert any("was accepted, and is unknown" in problem for problem in result.problems)

    def test_a_late_answer_is_a_problem(self, service: Service) -> None:
        result = self.played(service, lambda *_: time.monotonic(), deadline_s=-2)
        assert any("after 0." in problem for problem in result.problems)
        assert not result.kept

    def test_a_broken_promise_that_only_the_fault_sees_is_a_problem(self, service: Service) -> None:
        def seen(*_: object) -> float:
            raise PromiseBroken("it says nothing")

        result = self.played(service, seen)
        assert "it says nothing" in result.problems
        assert not result.kept

    @staticmethod
    def played(
        service: Service, fault: object, deadline_s: float = float(UNHURRIED["FACESEARCH_DEADLINE_S"])
    ) -> Result:
        where = (service.folder, [service.address], service.key, service.broker)
        stage = stages.Stage(*where, deadline_s, prefix=uuid.uuid4().hex)
        return play(Row("a false fault", fault, adds=400), stage, SEED)

    @staticmethod
    def first(load: Load, look: Callable[[str], Any]) -> tuple[str, Any]:
        """Wait until a look into a facedb finds anything: the load also deletes, and at times nobody is left. Returns
        the facedb and what was found.
        """
        found: list[tuple[str, Any]] = []

        def looked() -> bool:
            found.extend((facedb, seen) for facedb in load.book.facedbs() if (seen := look(facedb)))
            return bool(found)

        wait_for(looked)
        return found[0]

    @staticmethod
    def ask(load: Load, request: Request) -> bool:
        """Send a request that is not in the load's book. Returns whether it was acknowledged."""
        with closing(load.caller()) as caller:
            caller.ask(request, Book([], 0), lambda: True)
        return request.acknowledged
