"""The hard time limit of jobs: a worker with a stuck thread ends, and its supervisor starts a new one.

A thread cannot be ended from outside, and Celery's own limits need a process for each job. The job goes to another
worker after the visibility timeout, which is longer than this limit and which worker/delivery/redelivery.py extends by
what the limit does not count: no job is given to a second worker while it still runs.

Time is counted in checks, not read from a clock: a process that was stopped as a whole, with its machine or by a
debugger, is not stuck. Nor is a thread that waits for a processor on a busy machine, for memory or a vision process
(worker/waits.py): such waiting does not count, as far as the operating system reports it. Linux does.

faulthandler, whose thread needs no interpreter lock, ends a worker in which the checks themselves stop because the lock
is never released. The consumer of jobs ticks, so that a stuck consumer is noticed, too.
"""

import faulthandler
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import structlog

from shared.jobs import Job
from worker.periodic import Periodic
from worker.waits import processor_wait_s

log = structlog.stdlib.get_logger(__name__)

CHECK_S: Final = 0.5

LIMIT_SHARE: Final = 0.8
"""The limit as a fraction of the visibility timeout. The rest is for the way from the queue to the thread, and for one
check."""

PATIENCE_SHARE: Final = 0.75
"""Fraction of the limit after which a job that can give up does so by itself."""

MIN_REPORTED_WAIT_S: Final = 0.2
"""Shorter waits for a processor are normal, and within what LIMIT_SHARE leaves."""

STUCK_FACTOR: Final = 2.0
"""Multiple of the limit for which the interpreter lock may be held, or the consumer not tick: Qdrant Edge holds the
lock while it joins segments, 0.5 s, and a broker that does not answer blocks the consumer for its time-out."""


WaitedSeconds = Callable[[int], float]
"""Returns the seconds for which a thread, by its native id, has waited in all for something other than a processor that
does not count either."""


def never_waited(_thread: int) -> float:
    return 0.0


def limit_s(visibility_timeout_s: float) -> float:
    """Return the seconds that a job may take, given the visibility timeout."""
    return LIMIT_SHARE * visibility_timeout_s


@dataclass(eq=False)
class _Running:
    """A running job. tag: delivery tag of its message, None without one. thread: native id of its thread. waiting:
    returns how long a thread has waited in all. waited_before_s: that of the thread when the job began. checks: how
    often the job was checked. reported_s: what `TimeLimit.new_waits` has returned of it.
    """

    job_id: str
    tag: str | None
    thread: int
    waiting: WaitedSeconds
    waited_before_s: float
    checks: int = 0
    reported_s: float = 0.0

    def waited_s(self) -> float:
        """Return the seconds for which the job has waited for a processor or for memory."""
        return self.waiting(self.thread) - self.waited_before_s

    def counted_s(self) -> float:
        """Return the seconds that count: all others since the job began."""
        return self.checks * CHECK_S - self.waited_s()


class TimeLimit:
    """Ends the process when a job takes longer than limit_s seconds, which must be more than CHECK_S."""

    def __init__(self, limit_s: float, waited: WaitedSeconds = never_waited) -> None:
        self._limit_s = limit_s
        self._waited = waited
        self._running: set[_Running] = set()
        self._consumer_runs = False
        self._checks_since_tick = 0
        self._checking = Periodic("timelimit", self.check, CHECK_S)

    def start(self) -> None:
        self._checking.start()

    def stop(self) -> None:
        self._checking.stop()
        faulthandler.cancel_dump_traceback_later()

    def consumer_ticks(self) -> None:
        """Note that the consumer runs. After the first tick there must be more."""
        self._checks_since_tick = 0
        self._consumer_runs = True

    def consumer_ends(self) -> None:
        """Expect no more ticks: the consumer ends, and waits for jobs."""
        self._consumer_runs = False

    @contextmanager
    def job(self, job: Job, tag: str | None = None) -> Iterator[None]:
        """Limit the block, which does that job in this thread. tag: delivery tag of the job's message."""
        thread = threading.get_native_id()
        running = _Running(job.job_id, tag, thread, self._waited_s, self._waited_s(thread))
        self._running.add(running)
        try:
            yield
        finally:
            self._running.remove(running)

    def new_waits(self) -> dict[str, float]:
        """Return, by delivery tag, the seconds for which running jobs have waited since the last call: those that have
        waited for MIN_REPORTED_WAIT_S or more.
        """
        waits = {}
        for running in tuple(self._running):
            seconds = running.waited_s() - running.reported_s
            if running.tag is not None and seconds >= MIN_REPORTED_WAIT_S:
                running.reported_s += seconds
                waits[running.tag] = seconds
        return waits

    def _waited_s(self, thread: int) -> float:
        return processor_wait_s(f"self/task/{thread}") + self._waited(thread)

    def check(self) -> None:
        """Check all running jobs and the consumer once."""
        faulthandler.dump_traceback_later(STUCK_FACTOR * self._limit_s, exit=True)
        for running in tuple(self._running):
            running.checks += 1
            if running.checks * CHECK_S > self._limit_s and (seconds := running.counted_s()) > self._limit_s:
                log.error("job_stuck", job_id=running.job_id, seconds=round(seconds, 1))
                end()
        self._checks_since_tick += 1
        if self._consumer_runs and self._checks_since_tick * CHECK_S > STUCK_FACTOR * self._limit_s:
            log.error("consumer_stuck", seconds=self._checks_since_tick * CHECK_S)
            end()


class Stopwatch:
    """Measures what a job takes of the limit from now on. To be used by the thread that does the job."""

    def __init__(self, waited: WaitedSeconds = never_waited) -> None:
        self._thread = threading.get_native_id()
        self._waited = waited
        self._begun = (time.monotonic(), self._waited_s())

    def seconds(self) -> float:
        """Return the seconds as the limit counts them: without waiting for a processor or for memory."""
        return time.monotonic() - self._begun[0] - (self._waited_s() - self._begun[1])

    def _waited_s(self) -> float:
        return processor_wait_s(f"self/task/{self._thread}") + self._waited(self._thread)


def end() -> None:
    """End the process at once, whatever its threads do. Their stacks go to stderr, without values."""
    faulthandler.dump_traceback()
    os._exit(1)
