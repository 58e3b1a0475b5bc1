"""A worker's job that is executed one call at a time, so that a test decides what happens between any two calls.

The job is the service's own, on its real ledger and store. It runs in a thread that waits before each call to Redis or
to the store until the test decides the fate of the call. One thread runs at a time, so tests are deterministic.
"""

import threading
from collections.abc import Callable
from enum import StrEnum
from typing import Any

from redis import Redis
from redis.exceptions import TimeoutError as RedisTimeoutError

from shared.jobs import Outcome
from worker.models.identity import Identity
from worker.store.base import StoreUnavailable
from worker.store.memory import MemoryStore


class Fate(StrEnum):
    """The result of a call."""

    DONE = "done"
    LOST = "lost"
    """The call fails and has no effect."""
    UNANSWERED = "unanswered"
    """The call fails and has its effect, as when the server hangs or the connection breaks."""
    KILLED = "killed"
    """The worker is killed before the call."""
    KILLED_AFTER = "killed after"
    """The worker is killed after the call, and nobody has the result."""


class Killed(BaseException):
    """Ends the thread of a killed worker."""


class Stepped:
    """One execution of a job, which waits before its first call.

    outcome: after its end, None if it was killed. waits_for: the next call, "answer" if only the outcome is left to
    report.
    """

    def __init__(self, job: Callable[["Stepped"], Outcome]) -> None:
        self.outcome: Outcome | None = None
        self.crashed: BaseException | None = None
        self.ended = self.killed = False
        self.waits_for = ""
        self._fate = Fate.DONE
        self._go, self._stopped = threading.Semaphore(0), threading.Semaphore(0)
        threading.Thread(target=self._run, args=(job,), daemon=True).start()
        self._stopped.acquire()

    def step(self, fate: Fate = Fate.DONE) -> None:
        """Let the call that it waits for have that fate, and go on to the next one or to the end."""
        self._fate = fate
        self._go.release()
        self._stopped.acquire()
        if self.crashed is not None:
            raise self.crashed

    def call(self, name: str, failing: type[Exception], done: Callable[[], Any]) -> Any:
        """Make one call, in the job's thread. failing: the error of a failing call."""
        if self.killed:
            raise Killed
        self.waits_for = name
        self._stopped.release()
        self._go.acquire()
        self.killed = self._fate in (Fate.KILLED, Fate.KILLED_AFTER)
        answer = done() if self._fate in (Fate.DONE, Fate.UNANSWERED, Fate.KILLED_AFTER) else None
        if self.killed:
            raise Killed
        if self._fate is not Fate.DONE:
            raise failing(f"{name}: {self._fate}")
        return answer

    def _run(self, job: Callable[["Stepped"], Outcome]) -> None:
        try:
            self.outcome = job(self)
            self.call("answer", RuntimeError, lambda: None)  # it may be killed before anybody has the outcome
        except Killed:
            self.outcome = None
        except BaseException as error:  # noqa: BLE001 -- raised again in the test's thread
            self.crashed = error
        self.ended = True
        self._stopped.release()


class SteppedRedis:
    """A client that makes each command a call of the execution."""

    def __init__(self, redis: Redis, execution: Stepped) -> None:
        self._redis = redis
        self._execution = execution

    def __getattr__(self, name: str) -> Callable[..., Any]:
        command = getattr(self._redis, name)

        def call(*arguments: Any, **options: Any) -> Any:
            return self._execution.call(name, RedisTimeoutError, lambda: command(*arguments, **options))

        return call


class SteppedStore:
    """A store that makes each method a call of the execution."""

    def __init__(self, store: MemoryStore, execution: Stepped) -> None:
        self._store = store
        self._execution = execution

    @property
    def identity(self) -> Identity:
        return self._store.identity

    def under(self, identity: Identity) -> "SteppedStore":
        return SteppedStore(self._store.under(identity), self._execution)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._store, name)

        def call(*arguments: Any) -> Any:
            return self._execution.call(f"store.{name}", StoreUnavailable, lambda: method(*arguments))

        return call
