"""Retries of calls to a server, within the time limit of the operation that they belong to."""

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
"""Pauses between attempts double up to this one, which bounds how late a server that is back is noticed."""

CHECK_S: Final = 1.0
"""Time limit of Store.check, whose caller has to show every few seconds that the worker is alive."""

_LEAST_S: Final = 0.02
"""Shortest time in which an attempt is worth making."""


class Retries:
    """Makes the calls of a store's operations, each in the thread of its caller.

    An operation is one method of a store and makes one or more calls. Calls may be repeated, as points are written and
    deleted by id. So a failed attempt, whatever became of it, is repeated with growing pauses, or after the seconds
    that the server asks for, until timeout_s seconds after the operation's start. A request that the server refuses for
    its content is not repeated.
    """

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._thread = threading.local()
        self._ended = threading.Event()

    @contextmanager
    def operation(self, at_most_s: float = math.inf) -> Iterator[None]:
        """Give all calls in the block one time limit; within another operation, that operation's."""
        if hasattr(self._thread, "end"):
            yield
            return
        self._thread.end = time.monotonic() + min(self._timeout_s, at_most_s)
        try:
            yield
        finally:
            del self._thread.end

    def attempt_s(self) -> float:
        """Return the seconds that an attempt may take: half of the time left, so that another attempt may reach a
        healthier server, but at least one second if that is left, as a second request does not help a server under
        load.
        """
        left = self._left()
        return max(left / 2, min(left, 1.0), _LEAST_S)

    def call(self, call: Callable[[], Answer]) -> Answer:
        """Return the result of the call. Raises the error of the last attempt, as `answer` does, and StoreUnavailable
        after `end`.
        """
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
        """Refuse all further calls and end all pauses."""
        self._ended.set()

    def _left(self) -> float:
        return float(getattr(self._thread, "end", time.monotonic() + self._timeout_s) - time.monotonic())


class HasRetries(Protocol):
    """A class with methods that are operations."""

    _retries: Retries


Self = TypeVar("Self", bound=HasRetries)
Given = ParamSpec("Given")
Result = TypeVar("Result")


def operation(method: Callable[Concatenate[Self, Given], Result]) -> Callable[Concatenate[Self, Given], Result]:
    """Give all calls of the method one time limit."""

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
