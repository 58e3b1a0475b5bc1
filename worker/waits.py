"""How long threads have waited for something other than their own work: memory, a processor, a vision process.

Such waiting does not count against a job's time limit (worker/delivery/time_limit.py).
"""

import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager


class Waits:
    """The waits of all threads of a process, by their native ids. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ended: defaultdict[int, float] = defaultdict(float)
        self._running: dict[int, list[Callable[[], float]]] = {}

    def seconds(self, thread: int) -> float:
        """Return the seconds that a thread has waited in all. Nested waits of a thread count each."""
        with self._lock:
            return self._ended[thread] + sum(waited_s() for waited_s in self._running.get(thread, ()))

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Count the time of the block as waiting of the calling thread."""
        begun = time.monotonic()
        with self.elsewhere(lambda: time.monotonic() - begun):
            yield

    @contextmanager
    def elsewhere(self, waited_s: Callable[[], float]) -> Iterator[None]:
        """Count what another process waits for the calling thread during the block. waited_s: returns the seconds since
        the block began; from another thread, too.
        """
        thread = threading.get_native_id()
        with self._lock:
            self._running.setdefault(thread, []).append(waited_s)
        try:
            yield
        finally:
            with self._lock:
                self._ended[thread] += waited_s()
                self._running[thread].remove(waited_s)
                if not self._running[thread]:
                    del self._running[thread]


class ProcessorWaits:
    """How long a process or thread has waited for a processor. It keeps one file open."""

    def __init__(self, process: str) -> None:
        """process: its folder below /proc, such as `self/task/17`."""
        try:
            self._file: int | None = os.open(f"/proc/{process}/schedstat", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:  # not on Linux, or it has ended
            self._file = None

    def seconds(self) -> float:
        """Return the seconds that it has waited in all, 0 if unknown."""
        if self._file is None:
            return 0.0
        try:
            # Nanoseconds on a processor, nanoseconds waiting for one, time slices:
            # Documentation/scheduler/sched-stats.rst.
            return int(os.pread(self._file, 100, 0).split()[1]) / 1e9
        except (OSError, IndexError, ValueError):
            return 0.0

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None


def processor_wait_s(process: str) -> float:
    """Return the seconds for which a process or thread, by its folder below /proc, has waited for a processor in all, 0
    if unknown.
    """
    with closing(ProcessorWaits(process)) as waits:
        return waits.seconds()
