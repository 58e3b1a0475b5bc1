"""Calls that are repeated until they are answered or their operation's time is up."""

import itertools
import math
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Concatenate, Final, ParamSpec, Protocol, TypeVar

from worker.store.base import StoreUnavailable
from worker.store.qdrant.errors import Answer, Busy, answer

FIRST_PAUSE_S: Final = 0.05
LONGEST_PAUSE_S: Final = 0.8
"""Pauses between attempts grow twofold. A restarting server is found within the last of them."""

CHECK_S: Final = 1.0
"""At most for a sign of life: whoever asks for one has to give one, in time, too."""

_LEAST_S: Final = 0.02  # an attempt with less time than this would only cost


class Retries:
    """How long the operations of a store may take, in each thread.

    An operation is one method of a store, of one or several calls. What a store asks for may be asked twice: points are
    written and deleted by id. So an attempt that failed, whatever became of it, is repeated with growing pauses, or
    after as many seconds as the server asked for, until timeout_s seconds since the operation's start are over. What
    the server refuses for its content is refused at once.
    """

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._thread = threading.local()
        self._ended = threading.Event()

    @contextmanager
    def operation(self, at_most_s: float = math.inf) -> Iterator[None]:
        """All calls inside share one time limit; within another operation, that one's."""
        if hasattr(self._thread, "end"):
            yield
            return
        self._thread.end = time.monotonic() + min(self._timeout_s, at_most_s)
        try:
            yield
        finally:
            del self._thread.end

    def attempt_s(self) -> float:
        """Seconds that an attempt may take: half of what is left, so that another may reach a healthier server, but one
        second if there is one, as a server under load is not helped by being asked twice.
        """
        left = self._left()
        return max(left / 2, min(left, 1.0), _LEAST_S)

    def call(self, call: Callable[[], Answer]) -> Answer:
        """What the call returns. Raises what `answer` does, of the last attempt; StoreUnavailable after `end`."""
        with self.operation():
            for attempt in itertools.count():
                if self._ended.is_set():
                    raise StoreUnavailable("the store is closed")
                try:
                    return answer(call)
                except StoreUnavailable as error:
                    pause = _pause(attempt, error)
                    if self._left() < pause + _LEAST_S:
                        raise
                self._ended.wait(pause)
        raise AssertionError("unreachable")

    def end(self) -> None:
        """Refuse all further calls, and let nobody pause any longer."""
        self._ended.set()

    def _left(self) -> float:
        return float(getattr(self._thread, "end", time.monotonic() + self._timeout_s) - time.monotonic())


class HasRetries(Protocol):
    """What has methods that are operations."""

    _retries: Retries


Self = TypeVar("Self", bound=HasRetries)
Given = ParamSpec("Given")
Result = TypeVar("Result")


def operation(method: Callable[Concatenate[Self, Given], Result]) -> Callable[Concatenate[Self, Given], Result]:
    """A method whose calls share one time limit."""

    @wraps(method)
    def run(self: Self, /, *args: Given.args, **kwargs: Given.kwargs) -> Result:
        with self._retries.operation():
            return method(self, *args, **kwargs)

    return run


def _pause(attempt: int, error: StoreUnavailable) -> float:
    longest = min(FIRST_PAUSE_S * 2.0**attempt, LONGEST_PAUSE_S)
    # Spread, so that workers that failed together do not come back together.
    pause = longest * random.uniform(0.5, 1)  # noqa: S311 -- no secret
    return max(pause, error.retry_after_s) if isinstance(error, Busy) else pause
