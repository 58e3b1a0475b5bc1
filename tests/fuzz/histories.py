"""Every order of add, repetition, redelivery, delete and drop, with hangs and kills between any two steps of a job.

The ledger, its Valkey and the actions are the service's own; the store is the exact reference. What is a model here is
what stands around them: callers who repeat, a gateway that keeps records and gives up waiting, Celery that delivers
again what a killed worker had, and a clock that all of them share. After each step it is checked that what the callers
were promised (docs/reliability.md) is true.

python -m fuzz.histories --count 10000
"""

import argparse
import os
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import structlog
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from redis import Redis

import worker.actions
import worker.ledger
from facesearch.embedded import servers
from faults.clock import Clock, clock, why_not
from fuzz.stepping import Fate, Stepped, SteppedRedis, SteppedStore
from gateway.dispatch.jobs import GRACE_S
from processes import answers, wait_for
from shared.contract import Status
from shared.control import DROP_AFTER_S, DROPPED
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
"""As the settings have them."""

COUNT = 10_000

END, WRITE, WRITTEN = -1, -2, -3
"""In the place of a number of calls: all of them, those before it writes to the store, and these with that."""

STEPS = 25
"""Of one history, at most."""

MOMENTS = (7, 14, 49, 203, 406, 86_394, 86_401)
"""Seconds that pass at once: within a deadline, over it, over a claim, over all that is in flight, and to either side
of the end of a record. Multiples of 7 are never within 2 s of any of these ends, so that the time that a history takes
itself, which Valkey sees, decides nothing."""


WHILE_S = 1000
SKEW_S = 3
"""A key that lives for a while tells by which clock Valkey goes; it is off by a fraction of a second and no more."""


Course = tuple[int, Fate]


@dataclass
class Asked:
    """What a caller asks for, once or again. key: its Idempotency-Key. images: of an add. face: of a delete. promised:
    the first answer other than FAIL.
    """

    collection: str
    key: str | None
    images: bytes = b""
    face: uuid.UUID | None = None
    promised: Outcome | None = None
    origins: set[str] = field(default_factory=set)


@dataclass
class Sent:
    """A job of somebody's request, as it is executed now. until: when its caller gives up."""

    asked: Asked
    job: Any
    execution: Stepped

    @property
    def until(self) -> float:
        return float(self.job.deadline) + GRACE_S


@dataclass
class World:
    """What all histories share: a Valkey and the worker's code, under one clock."""

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
        """Whether Valkey, which looks at the clock now and then, goes by it."""
        self.redis.set("clock", "", ex=WHILE_S)
        return abs(self.redis.expiretime("clock") - WHILE_S - time.time() - self.ahead_s) < SKEW_S

    def begin_anew(self) -> None:
        self.passes(-self.ahead_s)
        self.redis.flushall()
        self.begun = int(time.time())


CALLS = st.sampled_from((WRITE, WRITE, WRITTEN, WRITTEN, *range(8)))

COURSES = st.one_of(
    st.just((END, Fate.DONE)),
    st.tuples(CALLS, st.just(Fate.DONE)),
    st.tuples(CALLS, st.sampled_from(tuple(Fate)[1:])),
)
"""How an execution goes on: for how many calls, and what becomes of the next one; with DONE it waits before that."""

REQUESTS = 8
"""In one history, at most."""


class Histories(RuleBasedStateMachine):
    """One history. Requests and executions are counted from the last one."""

    world: World

    def __init__(self) -> None:
        super().__init__()
        self.world.begin_anew()
        self.store = MemoryStore(SPACE)
        self.ledger = Ledger(self.world.redis, self.world.redis)
        self.facedbs = 0
        self.collection = ""
        self.dropped: set[str] = set()
        self.requests: list[Asked] = []
        self.sent: list[Sent] = []
        self.created()

    def teardown(self) -> None:
        """Whoever has no answer asks again, and has one."""
        for sent in self.running():
            self.kill(sent)
        self.sent = []
        self.world.passes(MOMENTS[4])
        self.nothing_is_broken()
        for asked in [asked for asked in self.repeatable() if asked.promised is None]:
            again = self.ask(asked, (END, Fate.DONE))
            assert again.promised is not None, f"a repetition without any disturbance was FAIL: {asked}"
            self.nothing_is_broken()

    def created(self) -> None:
        self.facedbs += 1
        self.collection = f"tenant.facedb.{self.facedbs:08x}"

    @precondition(lambda self: len(self.requests) < REQUESTS)
    @rule(images=st.sampled_from((b"a", b"ab")), keyed=st.booleans(), course=COURSES)
    def add(self, images: bytes, keyed: bool, course: Course) -> None:
        self.requests.append(Asked(self.collection, self.new_key(keyed), images))
        self.ask(self.requests[-1], course)

    @precondition(lambda self: len(self.requests) < REQUESTS and self.faces())
    @rule(which=st.integers(0, 2), keyed=st.booleans(), course=COURSES)
    def delete(self, which: int, keyed: bool, course: Course) -> None:
        """Of a face that somebody found, or whose id was told to who added it."""
        faces = self.faces()
        collection, face = faces[-1 - which % len(faces)]
        self.requests.append(Asked(collection, self.new_key(keyed), face=face))
        self.ask(self.requests[-1], course)

    @precondition(lambda self: self.repeatable())
    @rule(which=st.integers(0, 2), course=COURSES)
    def repeat(self, which: int, course: Course) -> None:
        """Under its Idempotency-Key, whether there was an answer or not."""
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
        """What a killed worker had."""
        sent = next(sent for sent in self.sent if sent.execution.killed)
        sent.execution = self.executed(sent.job)
        self.runs(sent, course)

    @rule(seconds=st.sampled_from(MOMENTS), fate=st.sampled_from((Fate.KILLED, Fate.KILLED_AFTER)))
    def time_passes(self, seconds: int, fate: Fate) -> None:
        """Whoever writes ends first: a worker of which a call takes so long ends by itself
        (worker/delivery/time_limit.py).
        """
        for sent in self.running():
            if sent.execution.waits_for.startswith("store."):
                self.kill(sent, fate)
        self.world.passes(seconds)
        Sweeper(self.ledger, self.store).sweep()

    @rule()
    def drop(self) -> None:
        """The facedb, and make one of the same name."""
        self.world.redis.zadd(DROPPED, {self.collection: self.world.now() + DROP_AFTER_S})
        self.dropped.add(self.collection)
        self.created()

    @invariant()
    def nothing_is_broken(self) -> None:
        deletes = [asked for asked in self.requests if asked.face is not None]
        deleted = [asked for asked in deletes if asked.promised and asked.promised.status is Status.OK]
        for asked in deleted:
            assert not self.store.contains(asked.collection, asked.face), f"a deletion came back: {asked}"
            others = [other for other in deleted if other.face == asked.face and other is not asked]
            assert not others, f"one face was deleted twice: {asked}, {others}"
        tried = {asked.face for asked in deletes}
        names: list[str] = []
        for asked in self.requests:
            if asked.face is not None or asked.promised is None or asked.collection in self.dropped:
                continue
            assert asked.promised.status is Status.OK, asked
            assert len(asked.promised.message) == len(asked.images)
            for added in asked.promised.message:
                face = uuid.UUID(added["person_id"])
                names.append(f"{asked.collection} {added['name']}")
                assert face in tried or self.store.contains(asked.collection, face), f"an added face is lost: {asked}"
        assert len(set(names)) == len(names), f"two faces have one name: {names}"
        for collection in self.store.collections():
            known = {face for asked in self.requests for face in self.faces_of(asked)}
            assert {point.person_id for point in self.store.points(collection)} <= known, "a face is nobody's"

    def running(self) -> list[Sent]:
        return [sent for sent in self.sent if not sent.execution.ended]

    def repeatable(self) -> list[Asked]:
        """Of a dropped facedb nothing is: its name leads elsewhere, and that is another request under the key."""
        return [asked for asked in self.requests if asked.key and asked.collection not in self.dropped]

    def faces(self) -> list[tuple[str, uuid.UUID]]:
        """By their collection, in the order in which they were asked for."""
        found = [(asked.collection, face) for asked in self.requests for face in self.faces_of(asked)]
        known = {
            uuid.UUID(added["person_id"])
            for asked in self.requests
            if asked.images and asked.promised
            for added in asked.promised.message
        }
        return [(where, face) for where, face in found if face in known or self.store.contains(where, face)]

    @staticmethod
    def faces_of(asked: Asked) -> list[uuid.UUID]:
        return [person_id(origin, number) for origin in sorted(asked.origins) for number in range(len(asked.images))]

    def new_key(self, keyed: bool) -> str | None:
        return f"key-{len(self.requests)}" if keyed else None

    def ask(self, asked: Asked, course: Course) -> Asked:
        """What a gateway does with a request: the answer of its record, or a job, which goes that far. Returns what was
        asked for: after a key's record is over, something else.
        """
        request, once = new_request_id(), None
        if asked.key is not None:
            where = record("tenant", asked.key)
            if self.world.redis.hsetnx(where, ASKED, "it"):  # as gateway/dispatch/idempotency.py does it
                self.world.redis.hset(where, ORIGIN, request)
                self.world.redis.expire(where, KEEP_S)
                if asked.origins:
                    self.requests.append(replace(asked, promised=None, origins=set()))
                    asked.key, asked = None, self.requests[-1]
            origin, outcome = self.world.redis.hmget(where, ORIGIN, OUTCOME)
            if outcome is not None:
                self.answered(asked, Outcome.model_validate_json(outcome))
                return asked
            once = Once(record=where, origin=origin.decode(), keep_s=KEEP_S)
        about: dict[str, Any] = {
            "job_id": new_job_id(new_gateway_id(), request),
            "collection": asked.collection,
            "deadline": self.world.now() + DEADLINE_S,
            "once": once,
        }
        if asked.face is None:
            job: Any = AddJob(**about, name=None)
            self.world.redis.set(image_key(job.job_id), asked.images, ex=DEADLINE_S + 5)
        else:
            job = DeleteJob(**about, person_id=asked.face)
        asked.origins.add(job.origin)
        self.sent.append(Sent(asked, job, self.executed(job)))
        self.runs(self.sent[-1], course)
        return asked

    def executed(self, job: Any) -> Stepped:
        action: Any = actions.add if isinstance(job, AddJob) else actions.delete

        def execution(stepped: Stepped) -> Outcome:
            redis: Any = SteppedRedis(self.world.redis, stepped)
            store: Any = SteppedStore(self.store, stepped)
            runtime = replace(self.world.runtime, store=store, ledger=Ledger(redis, redis))
            return perform_once(job, action, runtime)

        return Stepped(execution)

    def step(self, sent: Sent, fate: Fate = Fate.DONE) -> None:
        if sent.execution.ended:
            return
        if sent.execution.waits_for == "answer" and fate in (Fate.LOST, Fate.UNANSWERED):
            fate = Fate.KILLED  # a worker that cannot store an outcome ends
        sent.execution.step(fate)
        if sent.execution.ended and not sent.execution.killed:
            self.sent.remove(sent)
            if sent.execution.outcome is not None and self.world.now() <= sent.until:
                self.answered(sent.asked, sent.execution.outcome)

    def runs(self, sent: Sent, course: Course) -> None:
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
    def kill(sent: Sent, fate: Fate = Fate.KILLED) -> None:
        sent.execution.step(fate)

    def answered(self, asked: Asked, outcome: Outcome) -> None:
        if outcome.status is Status.FAIL:
            return
        if asked.promised is not None:
            assert outcome == asked.promised, f"another answer than before: {outcome}, {asked}"
        asked.promised = outcome


@contextmanager
def world(folder: Path) -> Iterator[World]:
    """What histories share. There must be a gcc: see `faults.clock.why_not`."""
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
            TableFaces(), SFACE, MemoryStore(SPACE), Ledger(redis, redis), SPACE, Metrics(NoTraces()), DEADLINE_S
        )
        shared = World(redis, made, runtime)
        told = SimpleNamespace(time=shared.now)
        for module in (worker.actions, worker.ledger):
            stack.enter_context(mock.patch.object(module, "time", told))
        yield shared


def search(folder: Path, count: int, number: int | None = None) -> None:
    """Histories, so many of them. number: of the sequence; the same one each time if it is None. Raises AssertionError
    with the shortest history that was found in which a promise is broken.
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
    """As many of them; a line about them, or about why there are none. Raises as `search`."""
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
