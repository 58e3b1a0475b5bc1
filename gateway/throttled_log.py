"""Warnings about what may happen thousands of times a second, logged once in a while with counts."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from structlog.stdlib import BoundLogger

REFUSALS_EVERY_S: Final = 1.0
"""Seconds between log lines on refused requests: a flood of them must not flood the log."""

CONNECTIONS_EVERY_S: Final = 10.0
"""Seconds between log lines on connections."""


class ThrottledLog:
    """A warning at most once in every_s seconds. counted: names of the fields that count what happened since the last
    one. clock: seconds, by default time.monotonic.
    """

    def __init__(
        self, log: BoundLogger, every_s: float, counted: Sequence[str] = (), clock: Callable[[], float] | None = None
    ) -> None:
        self._log = log
        self._every_s = every_s
        self._counted = counted
        self._counts: Counter[str] = Counter()
        self._clock = clock or time.monotonic
        self._quiet_until = float("-inf")

    @property
    def has_counts(self) -> bool:
        """Whether anything was counted since the last warning."""
        return self._counts.total() > 0

    def count(self, name: str) -> None:
        """Add one to a counted field."""
        self._counts[name] += 1

    def warn(self, event: str, **fields: object) -> None:
        """Log the event with its fields and the counts and reset the counts, or do nothing before it is time."""
        now = self._clock()
        if now >= self._quiet_until:
            self._log.warning(event, **fields, **{name: self._counts[name] for name in self._counted})
            self._counts.clear()
            self._quiet_until = now + self._every_s
