"""When a request is repeated.

Every request may be: adds and deletes carry an Idempotency-Key, so that a repetition has the effect of one, and the
other calls change nothing.
"""

import logging
import random
import time
from dataclasses import dataclass
from typing import Final

from facesearch_client.errors import Unavailable

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Retries:
    """How often and for how long requests are repeated, in seconds.

    for_s: no attempt begins later than this after the call began; 0: there is one attempt. first_s, longest_s: the
    longest pause after the first failure, which doubles with each further one, and the longest of all. A pause is
    drawn between 0 and that bound ("full jitter": M. Brooker, Exponential Backoff And Jitter, 2015), and comes on top
    of the time that the service asks to wait.

    Raises ValueError for a negative time.
    """

    for_s: float = 30.0
    first_s: float = 0.25
    longest_s: float = 8.0

    def __post_init__(self) -> None:
        if not min(self.for_s, self.first_s, self.longest_s) >= 0:
            raise ValueError("times of Retries must be 0 or more seconds")

    def pause_s(self, failures: int, retry_after_s: float | None, elapsed_s: float, share: float) -> float | None:
        """Return the seconds to wait before the next attempt, None if there is none.

        failures: attempts that failed, >= 1. retry_after_s: what the service asks for. elapsed_s: since the call
        began. share: in [0, 1], of the longest pause.
        """
        longest_s = min(self.longest_s, self.first_s * 2 ** min(failures - 1, 64))
        pause_s = (retry_after_s or 0.0) + share * longest_s
        return pause_s if elapsed_s + pause_s < self.for_s else None


DEFAULT: Final = Retries()

NO_RETRIES: Final = Retries(for_s=0)


class Attempts:
    """The attempts of one call, which begins now. name: that of the call, for the log."""

    def __init__(self, retries: Retries, name: str, idempotency_key: str | None) -> None:
        self._retries = retries
        self._name = name
        self._idempotency_key = idempotency_key
        self._begun = time.monotonic()
        self._failures = 0

    def pause_s(self, error: Unavailable) -> float:
        """Return the seconds to wait after an attempt that ended with this error. Raises the error if that was the
        last one.
        """
        self._failures += 1
        elapsed_s = time.monotonic() - self._begun
        share = random.random()  # noqa: S311 -- to spread callers in time, not to be secret
        pause_s = self._retries.pause_s(self._failures, error.retry_after_s, elapsed_s, share)
        if pause_s is None:
            error.idempotency_key = self._idempotency_key
            raise error
        _log.info("%s: %s, next attempt in %.1f s", self._name, type(error).__name__, pause_s)
        return pause_s
