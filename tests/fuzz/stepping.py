"""A worker's job that goes on by one call at a time, so that a test decides what happens between any two of them.

The job is the service's own, on its real ledger and store; it runs in a thread that waits before each call to Redis or
to the store until it is told what becomes of the call. One thread runs at a time, so what happens is the test's doing
alone.
"""

import threading
from collections.abc import Callable
from enum import StrEnum
from typing import Any

from redis import Redis
from redis.exceptions import TimeoutError as RedisTimeoutError

from shared.jobs import Outcome
from worker.store.base import StoreUnavailable
from worker.store.memory import MemoryStore


class Fate(StrEnum):
    """What becomes of a call."""

    DONE = "done"
    LOST = "lost"
    """It fails and was not done."""
    UNANSWERED = "unanswered"
    """It fails and was done all the same, as where the other side hangs or the connection breaks."""
    KILLED = "killed"
    """The worker is killed before it is done."""
    KILLED_AFTER = "killed after"
    """The worker is killed when it is done and nobody has learned of it."""


class Killed(BaseException):
    """No code of the worker runs after it."""


class Stepped:
    """One execution of a job, which has begun and waits before its first call. outcome: once it has ended, None if it
    was killed. waits_for: the call that has not been made, "answer" when there is none but to tell the outcome.
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
        """In the job's thread: one call. failing: how it fails when it does."""
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
        except BaseException as error:  # noqa: BLE001 -- raised again where the test goes on
            self.crashed = error
        self.ended = True
        self._stopped.release()


class SteppedRedis:
    """A client of which each command is a call."""

    def __init__(self, redis: Redis, execution: Stepped) -> None:
        self._redis = redis
        self._execution = execution

    def __getattr__(self, name: str) -> Callable[..., Any]:
        command = getattr(self._redis, name)

        def call(*arguments: Any, **options: Any) -> Any:
            return self._execution.call(name, RedisTimeoutError, lambda: command(*arguments, **options))

        return call


class SteppedStore:
    """A store of which each call that a job makes is one."""

    def __init__(self, store: MemoryStore, execution: Stepped) -> None:
        self._store = store
        self._execution = execution

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._store, name)

        def call(*arguments: Any) -> Any:
            return self._execution.call(f"store.{name}", StoreUnavailable, lambda: method(*arguments))

        return call
