"""The hard time limit of jobs: a worker one of whose threads is stuck ends, and whoever supervises it starts a new one.

No thread can be ended from outside, and Celery's own limits need a process for each job. The job goes to a new worker
after the visibility timeout, which is longer than this limit, and which worker/delivery/redelivery.py puts off by what
the limit does not count: no job is given to a second worker while it still runs.

Time is counted in looks, not read from a clock: of a process that was stopped as a whole, with its machine or by a
debugger, nothing is stuck. Nor is a thread that waits for a processor on a machine with too much to do, or for room in
memory (worker/vision/memory_budget.py): that time does not count, as far as the system tells of processors, and Linux
does.

That the looks themselves go on is watched by faulthandler, whose thread needs no interpreter lock: it ends a worker
whose lock is never given back. The consumer of jobs beats, so that a stuck one is noticed too.
"""

import faulthandler
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from shared.jobs import Job
from worker.periodic import Periodic

log = structlog.stdlib.get_logger(__name__)

LOOK_S: Final = 0.5

PART: Final = 0.8
"""Of the visibility timeout. The rest is for the way from the queue to the thread, and for one look."""

GENTLE: Final = 0.75
"""Part of the limit after which a job that can gives up by itself."""

LEAST_WAIT_S: Final = 0.2
"""Shorter waits for a processor are what every job has, and are within what PART leaves."""

LOCKED: Final = 2.0
"""How many times the limit the interpreter lock may be held, or the consumer not beat: Qdrant Edge holds the lock while
it joins segments, 0.5 s, and a broker that does not answer holds the consumer up for its time-out."""


Waited = Callable[[int], float]
"""Seconds for which a thread, by the system's number, has waited in all, for what counts as little as a processor."""


def nothing(_thread: int) -> float:
    return 0.0


def limit_s(visibility_timeout_s: float) -> float:
    """Seconds a job may take where jobs are given to another worker after that many seconds."""
    return PART * visibility_timeout_s


@dataclass(eq=False)
class _Running:
    """A job, and how often it was looked at. tag: of its message, None for one that came by none. thread: the system's
    number of the one that does it. waiting: how long a thread has waited, in all. waited_s: for how long that one had
    when the job began. told_s: what `TimeLimit.waited` has told of it.
    """

    job_id: str
    tag: str | None
    thread: int
    waiting: Waited
    waited_s: float
    looks: int = 0
    told_s: float = 0.0

    def waited(self) -> float:
        """Seconds for which it has waited for a processor, or for room."""
        return self.waiting(self.thread) - self.waited_s

    def seconds(self) -> float:
        """For how long it has been done, or has waited for anything else."""
        return self.looks * LOOK_S - self.waited()


class TimeLimit:
    """Ends the process when a job takes longer than limit_s seconds, which must be more than LOOK_S."""

    def __init__(self, limit_s: float, waited: Waited = nothing) -> None:
        self._limit_s = limit_s
        self._waited = waited
        self._running: set[_Running] = set()
        self._beats = False
        self._quiet_looks = 0
        self._looking = Periodic("timelimit", self.look, LOOK_S)

    def start(self) -> None:
        self._looking.start()

    def stop(self) -> None:
        self._looking.stop()
        faulthandler.cancel_dump_traceback_later()

    def beat(self) -> None:
        """The consumer goes on. From the first beat on there must be more."""
        self._quiet_looks = 0
        self._beats = True

    def beat_no_more(self) -> None:
        """The consumer ends, and waits for jobs."""
        self._beats = False

    @contextmanager
    def job(self, job: Job, tag: str | None = None) -> Iterator[None]:
        """The block is that job. tag: the delivery tag of its message."""
        thread = threading.get_native_id()
        running = _Running(job.job_id, tag, thread, self._waited_s, self._waited_s(thread))
        self._running.add(running)
        try:
            yield
        finally:
            self._running.remove(running)

    def waited(self) -> dict[str, float]:
        """By delivery tag, the seconds for which jobs that run have waited for a processor, or for room, since this
        last told of them; it tells of LEAST_WAIT_S and more.
        """
        told = {}
        for running in tuple(self._running):
            seconds = running.waited() - running.told_s
            if running.tag is not None and seconds >= LEAST_WAIT_S:
                running.told_s += seconds
                told[running.tag] = seconds
        return told

    def _waited_s(self, thread: int) -> float:
        return _waited_s(thread) + self._waited(thread)

    def look(self) -> None:
        """Look once at all jobs."""
        faulthandler.dump_traceback_later(LOCKED * self._limit_s, exit=True)
        for running in tuple(self._running):
            running.looks += 1
            if running.looks * LOOK_S > self._limit_s and (seconds := running.seconds()) > self._limit_s:
                log.error("job_stuck", job_id=running.job_id, seconds=round(seconds, 1))
                end()
        self._quiet_looks += 1
        if self._beats and self._quiet_looks * LOOK_S > LOCKED * self._limit_s:
            log.error("consumer_stuck", seconds=self._quiet_looks * LOOK_S)
            end()


class Stopwatch:
    """What a job takes of the limit from now on. For the thread that does it."""

    def __init__(self, waited: Waited = nothing) -> None:
        self._thread = threading.get_native_id()
        self._waited = waited
        self._begun = (time.monotonic(), self._waited_s(), time.thread_time())

    def seconds(self) -> float:
        """As the limit counts: all but waiting for a processor, or for room."""
        return time.monotonic() - self._begun[0] - (self._waited_s() - self._begun[1])

    def _waited_s(self) -> float:
        return _waited_s(self._thread) + self._waited(self._thread)

    def cpu_s(self) -> float:
        """Seconds on a processor."""
        return time.thread_time() - self._begun[2]


def _waited_s(thread: int) -> float:
    """Seconds for which a thread of this process has waited for a processor, in all. 0 where nothing tells."""
    try:
        # Nanoseconds on a processor, nanoseconds waiting for one, time slices: Documentation/scheduler/sched-stats.rst.
        return int(Path(f"/proc/self/task/{thread}/schedstat").read_text().split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return 0.0


def end() -> None:
    """End the process at once, whatever its threads do. Where they are goes to stderr, without any values."""
    faulthandler.dump_traceback()
    os._exit(1)
