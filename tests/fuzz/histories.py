"""Every order of add, repetition, redelivery, delete and drop, with hangs and kills between any two steps of a job.

The ledger, its Valkey and the actions are the service's own; the store is the exact reference. Models are
used of everything around them: callers who repeat requests, a gateway that keeps records and gives up waiting, Celery
that redelivers jobs of killed workers, and a clock that all of them share. After each step the promises to callers
(docs/reliability.md) are checked.

python -m fuzz.histories --count 10000
"""

import argparse
import os
import subprocess
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import structlog
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from redis import Redis

import worker.actions
import worker.delivery.deadline
import worker.ledger
import worker.unique
from facesearch.embedded import servers
from faults.clock import Clock, clock, why_not
from fuzz.stepping import Fate, Stepped, SteppedRedis, SteppedStore
from gateway.dispatch.jobs import GRACE_S
from processes import answers, wait_for
from shared.contract import Status
from shared.control import DROP_AFTER_S, DROPPED
from shared.errors import Unavailable
from shared.idempotency import ASKED, ORIGIN, OUTCOME, record
from shared.jobs import (
    AddJob,
    DeleteJob,
    Once,
    Outcome,
    image_key,
    new_gateway_id,
    new_job_id,
    new_request_id,
    person_id,
)
from shared.observability.tracing import NoTraces
from spaces import only
from table_faces import TableFaces
from worker import actions
from worker.ledger import Ledger
from worker.metrics import Metrics
from worker.models.calibration import SFACE
from worker.models.identity import Identity
from worker.runtime import Runtime
from worker.store.memory import MemoryStore
from worker.tasks import perform_once
from worker.upkeep.sweeper import Sweeper

SPACE = Identity("test", "0" * 64, 1, 4)
DEADLINE_S = 10
KEEP_S = 86_400
"""A day, as in the default settings."""

COUNT = 10_000

END, WRITE, WRITTEN = -1, -2, -3
"""Used as a number of calls: all calls, those before the write to the store, and those up to and including it."""

STEPS = 25
"""The most steps of one history."""

JUMPS_S = (7, 14, 49, 203, 406, 86_394, 86_401)
"""Seconds that pass at once: within a deadline, past it, past a claim, past all that is in flight, and to either side
of the end of a record. Multiples of 7 are never within 2 s of any of these ends, so that the run time of a history
itself, which Valkey sees, decides nothing.
"""


TTL_S = 1000
SKEW_S = 3
"""Time to live of a key that shows Valkey's clock, and the most seconds by which that clock may be off."""


REGULAR = b"r"
"""A face that only unique adds add."""

MOST_WAITS = 2
"""Pauses of a unique add before it gives up."""

Course = tuple[int, Fate]


@dataclass
class Request:
    """A caller's request, sent once or repeated.

    key: its Idempotency-Key. images: of an add. unique: whether it adds only who is new. face: of a delete. promised:
    the first answer other than FAIL. origins: the origins of its jobs.
    """

    collection: str
    key: str | None
    images: bytes = b""
    unique: bool = False
    face: uuid.UUID | None = None
    promised: Outcome | None = None
    origins: set[str] = field(default_factory=set)


@dataclass
class DispatchedJob:
    """A job of a request and its current execution. until: when its caller gives up."""

    request: Request
    job: Any
    execution: Stepped

    @property
    def until(self) -> float:
        return float(self.job.deadline) + GRACE_S


@dataclass
class World:
    """The state that histories share: a Valkey and the worker's code, under one clock."""

    redis: Redis
    clock: Clock
    runtime: Runtime
    begun: int = field(default_factory=lambda: int(time.time()))
    ahead_s: int = 0

    def now(self) -> float:
        return self.begun + self.ahead_s

    def passes(self, seconds: int) -> None:
        self.ahead_s += seconds
        self.clock.jump(seconds)
        while not self._seen():
            pass

    def _seen(self) -> bool:
        """Return whether Valkey, which caches the time, has seen the jump."""
        self.redis.set("clock", "", ex=TTL_S)
        return abs(self.redis.expiretime("clock") - TTL_S - time.time() - self.ahead_s) < SKEW_S

    def reset(self) -> None:
        self.passes(-self.ahead_s)
        self.redis.flushall()
        self.begun = int(time.time())


CALLS = st.sampled_from((WRITE, WRITE, WRITTEN, WRITTEN, *range(8)))

COURSES = st.one_of(
    st.just((END, Fate.DONE)),
    st.tuples(CALLS, st.just(Fate.DONE)),
    st.tuples(CALLS, st.sampled_from(tuple(Fate)[1:])),
)
"""How an execution goes on: the number of calls, and the fate of the next one; with DONE it waits before that call."""

REQUESTS = 8
"""The most requests of one history."""


class Histories(RuleBasedStateMachine):
    """One history. Requests and executions are counted from the last one."""

    world: World

    def __init__(self) -> None:
        super().__init__()
        self.world.reset()
        self.store = MemoryStore(SPACE)
        self.ledger = Ledger(self.world.redis, self.world.redis)
        self.facedbs = 0
        self.collection = ""
        self.dropped: set[str] = set()
        self.requests: list[Request] = []
        self.sent: list[DispatchedJob] = []
        self.created()

    def teardown(self) -> None:
        """Repeat every request without an answer; each must have one then."""
        for sent in self.running():
            self.kill(sent)
        self.sent = []
        self.world.passes(JUMPS_S[4])
        self.promises_are_kept()
        for request in [request for request in self.repeatable() if request.promised is None]:
            again = self.ask(request, (END, Fate.DONE))
            assert again.promised is not None, f"a repetition without any disturbance was FAIL: {request}"
            self.promises_are_kept()

    def created(self) -> None:
        self.facedbs += 1
        self.collection = f"tenant.facedb.{self.facedbs:08x}"

    @precondition(lambda self: len(self.requests) < REQUESTS)
    @rule(images=st.sampled_from((b"a", b"ab")), keyed=st.booleans(), course=COURSES)
    def add(self, images: bytes, keyed: bool, course: Course) -> None:
        self.requests.append(Request(self.collection, self.new_key(keyed), images))
        self.ask(self.requests[-1], course)

    @precondition(lambda self: len(self.requests) < REQUESTS)
    @rule(images=st.sampled_from((REGULAR, b"a" + REGULAR, REGULAR * 2)), keyed=st.booleans(), course=COURSES)
    def add_unique(self, images: bytes, keyed: bool, course: Course) -> None:
        self.requests.append(Request(self.collection, self.new_key(keyed), images, unique=True))
        self.ask(self.requests[-1], course)

    @precondition(lambda self: len(self.requests) < REQUESTS and self.faces())
    @rule(which=st.integers(0, 2), keyed=st.booleans(), course=COURSES)
    def delete(self, which: int, keyed: bool, course: Course) -> None:
        """Delete a face that a search or the answer of its add has shown."""
        faces = self.faces()
        collection, face = faces[-1 - which % len(faces)]
        self.requests.append(Request(collection, self.new_key(keyed), face=face))
        self.ask(self.requests[-1], course)

    @precondition(lambda self: self.repeatable())
    @rule(which=st.integers(0, 2), course=COURSES)
    def repeat(self, which: int, course: Course) -> None:
        """Repeat a request under its Idempotency-Key, whether or not it had an answer."""
        keyed = self.repeatable()
        self.ask(keyed[-1 - which % len(keyed)], course)

    @precondition(lambda self: self.running())
    @rule(which=st.integers(0, 2), course=COURSES)
    def go_on(self, which: int, course: Course) -> None:
        running = self.running()
        self.runs(running[-1 - which % len(running)], course)

    @precondition(lambda self: any(sent.execution.killed for sent in self.sent))
    @rule(course=COURSES)
    def deliver_again(self, course: Course) -> None:
        """Redeliver the job of a killed worker."""
        sent = next(sent for sent in self.sent if sent.execution.killed)
        sent.execution = self.executed(sent.job)
        self.runs(sent, course)

    @rule(seconds=st.sampled_from(JUMPS_S), fate=st.sampled_from((Fate.KILLED, Fate.KILLED_AFTER)))
    def time_passes(self, seconds: int, fate: Fate) -> None:
        """Let time pass. Executions in a write end first: a worker ends itself when a call takes that long
        (worker/delivery/time_limit.py).
        """
        for sent in self.running():
            if sent.execution.waits_for.startswith("store."):
                self.kill(sent, fate)
        self.world.passes(seconds)
        Sweeper(self.ledger, self.store).sweep()

    @rule()
    def drop(self) -> None:
        """Drop the facedb and create one of the same name."""
        self.world.redis.zadd(DROPPED, {self.collection: self.world.now() + DROP_AFTER_S})
        self.dropped.add(self.collection)
        self.created()

    @invariant()
    def promises_are_kept(self) -> None:
        deletes = [request for request in self.requests if request.face is not None]
        deleted = [request for request in deletes if request.promised and request.promised.status is Status.OK]
        for request in deleted:
            assert not self.store.contains(request.collection, request.face), f"a deletion came back: {request}"
            others = [other for other in deleted if other.face == request.face and other is not request]
            assert not others, f"one face was deleted twice: {request}, {others}"
        tried = {request.face for request in deletes}
        names: list[str] = []
        for request in self.requests:
            if request.face is not None or request.promised is None or request.collection in self.dropped:
                continue
            assert request.promised.status is Status.OK, request
            assert len(request.promised.message) == len(request.images)
            for added in request.promised.message:
                face = uuid.UUID(added["person_id"])
                if "existing" not in added:
                    names.append(f"{request.collection} {added['name']}")
                assert face in tried or self.store.contains(request.collection, face), f"a face is lost: {request}"
        assert len(set(names)) == len(names), f"two faces have one name: {names}"
        for collection in self.store.collections():
            known = {face for request in self.requests for face in self.faces_of(request)}
            points = list(self.store.points(collection))
            assert {point.person_id for point in points} <= known, "a face of no request"
            twice = [point for point in points if np.array_equal(point.vector, TableFaces.vector(REGULAR[0]))]
            assert len(twice) <= 1, f"unique adds added somebody twice: {[point.person_id for point in twice]}"

    def running(self) -> list[DispatchedJob]:
        return [sent for sent in self.sent if not sent.execution.ended]

    def repeatable(self) -> list[Request]:
        """Return the requests with a key. One for a dropped facedb cannot be repeated: its name now means another
        facedb, so it would be another request under the key.
        """
        return [request for request in self.requests if request.key and request.collection not in self.dropped]

    def faces(self) -> list[tuple[str, uuid.UUID]]:
        """Return the known faces with their collections, in the order of their requests."""
        found = [(request.collection, face) for request in self.requests for face in self.faces_of(request)]
        known = {
            uuid.UUID(added["person_id"])
            for request in self.requests
            if request.images and request.promised
            for added in request.promised.message
        }
        return [(where, face) for where, face in found if face in known or self.store.contains(where, face)]

    @staticmethod
    def faces_of(request: Request) -> list[uuid.UUID]:
        return [
            person_id(origin, number) for origin in sorted(request.origins) for number in range(len(request.images))
        ]

    def new_key(self, keyed: bool) -> str | None:
        return f"key-{len(self.requests)}" if keyed else None

    def ask(self, request: Request, course: Course) -> Request:
        """Handle a request as a gateway does: answer it from its record, or dispatch a job, which runs as `course`
        says. Returns the request, a new one if its key's record has expired.
        """
        request_id, once = new_request_id(), None
        if request.key is not None:
            where = record("tenant", request.key)
            if self.world.redis.hsetnx(where, ASKED, "it"):  # as in gateway/dispatch/idempotency.py
                self.world.redis.hset(where, ORIGIN, request_id)
                self.world.redis.expire(where, KEEP_S)
                if request.origins:
                    self.requests.append(replace(request, promised=None, origins=set()))
                    request.key, request = None, self.requests[-1]
            origin, outcome = self.world.redis.hmget(where, ORIGIN, OUTCOME)
            if outcome is not None:
                self.answered(request, Outcome.model_validate_json(outcome))
                return request
            once = Once(record=where, origin=origin.decode(), keep_s=KEEP_S)
        about: dict[str, Any] = {
            "job_id": new_job_id(new_gateway_id(), request_id),
            "collection": request.collection,
            "deadline": self.world.now() + DEADLINE_S,
            "once": once,
        }
        if request.face is None:
            job: Any = AddJob(**about, name=None, unique=95 if request.unique else None)
            self.world.redis.set(image_key(job.job_id), request.images, ex=DEADLINE_S + 5)
        else:
            job = DeleteJob(**about, person_id=request.face)
        request.origins.add(job.origin)
        self.sent.append(DispatchedJob(request, job, self.executed(job)))
        self.runs(self.sent[-1], course)
        return request

    def executed(self, job: Any) -> Stepped:
        action: Any = actions.add if isinstance(job, AddJob) else actions.delete

        def execution(stepped: Stepped) -> Outcome:
            redis: Any = SteppedRedis(self.world.redis, stepped)
            store: Any = SteppedStore(self.store, stepped)
            runtime = replace(self.world.runtime, store=store, ledger=Ledger(redis, redis))
            return perform_once(job, action, runtime)

        return Stepped(execution)

    def step(self, sent: DispatchedJob, fate: Fate = Fate.DONE) -> None:
        if sent.execution.ended:
            return
        if sent.execution.waits_for == "answer" and fate in (Fate.LOST, Fate.UNANSWERED):
            fate = Fate.KILLED  # a worker that cannot store an outcome ends
        sent.execution.step(fate)
        if sent.execution.ended and not sent.execution.killed:
            self.sent.remove(sent)
            if sent.execution.outcome is not None and self.world.now() <= sent.until:
                self.answered(sent.request, sent.execution.outcome)

    def runs(self, sent: DispatchedJob, course: Course) -> None:
        calls, fate = course
        made = 0
        while not sent.execution.ended and made != calls:
            if calls in (WRITE, WRITTEN) and sent.execution.waits_for in ("store.add", "store.delete"):
                if calls == WRITTEN:
                    self.step(sent)
                break
            self.step(sent)
            made += 1
        if fate is not Fate.DONE:
            self.step(sent, fate)

    @staticmethod
    def kill(sent: DispatchedJob, fate: Fate = Fate.KILLED) -> None:
        sent.execution.step(fate)

    def answered(self, request: Request, outcome: Outcome) -> None:
        if outcome.status is Status.FAIL:
            return
        if request.promised is not None:
            assert outcome == request.promised, f"another answer than before: {outcome}, {request}"
        request.promised = outcome


class Waits(threading.local):
    """In place of the pauses of a unique add that waits for others: it gives up after MOST_WAITS of them."""

    made = 0

    def __call__(self, _seconds: float) -> None:
        self.made += 1
        if self.made > MOST_WAITS:
            raise Unavailable("it waits for too long")


@contextmanager
def world(folder: Path) -> Iterator[World]:
    """Yield the shared state. It needs gcc: see `faults.clock.why_not`."""
    path = folder / "v.sock"
    with ExitStack() as stack:
        made = stack.enter_context(clock(folder))
        environment = {**os.environ, **made.environment}
        command = servers.images_command(folder / "valkey", path)
        server = stack.enter_context(subprocess.Popen(command, env=environment))
        stack.callback(server.kill)
        redis = stack.enter_context(Redis.from_url(servers.url(path)))
        wait_for(lambda: answers(redis))
        runtime = Runtime(
            TableFaces(), SFACE, MemoryStore(SPACE), Ledger(redis, redis), only(SPACE), Metrics(NoTraces()), DEADLINE_S
        )
        shared = World(redis, made, runtime)
        faked_time = SimpleNamespace(time=shared.now, time_ns=lambda: int(shared.now() * 1e9))
        for module in (worker.actions, worker.delivery.deadline, worker.ledger):
            stack.enter_context(mock.patch.object(module, "time", faked_time))
        waiting = SimpleNamespace(time=shared.now, sleep=Waits())
        stack.enter_context(mock.patch.object(worker.unique, "time", waiting))
        yield shared


def search(folder: Path, count: int, number: int | None = None) -> None:
    """Run that many histories. number: seed of the sequence; None for the same sequence each time.

    Raises AssertionError with the shortest history found in which a promise is broken.
    """
    with world(folder) as shared:
        machine = type("Histories", (Histories,), {"world": shared})
        run_state_machine_as_test(
            machine if number is None else seed(number)(machine),
            settings=settings(
                max_examples=count,
                stateful_step_count=STEPS,
                deadline=None,
                database=None,
                derandomize=number is None,
                phases=(Phase.generate, Phase.shrink),
                suppress_health_check=list(HealthCheck),
            ),
        )


def run(count: int, number: int) -> str:
    """Run that many histories and return a summary line, or the reason why there are none. Raises as `search`."""
    if why_not():
        return f"histories: none, {why_not()}"
    begun = time.monotonic()
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    with tempfile.TemporaryDirectory() as folder:
        search(Path(folder), count, number)
    structlog.reset_defaults()
    return f"histories: {count}, no promise broken, in {time.monotonic() - begun:.0f} s"


def main() -> None:
    parser = argparse.ArgumentParser(prog="fuzz.histories")
    parser.add_argument("--count", type=int, default=COUNT)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    print(run(options.count, options.seed))


if __name__ == "__main__":
    main()
