"""Who is let in: as many requests as this gateway has places for, and no more than can be answered in time.

How long a job takes is known from those before it: a job that was the n-th in flight and took t seconds waited for n of
them, t / n each, however many workers and other gateways there are. That pace, averaged over the last answers, times
the requests in flight is what the next one would wait. Little's law, J. D. C. Little, "A Proof for the Queuing Formula:
L = λW", Operations Research 9(3), 1961. What cannot be done in time is refused before its body is read, when it has
cost next to nothing; queued, it would take the time of another one and still be too late.
"""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import structlog

from shared.errors import Unavailable

log = structlog.stdlib.get_logger(__name__)

PATIENCE: Final = 0.7
"""Part of the deadline that a request may be expected to take: what comes in the meantime, larger photos or a worker
less, has the rest."""

ALWAYS: Final = 4
"""Requests that are let in whatever is expected: without any nobody would learn that it goes faster again."""

MEMORY: Final = 16
"""Answers over which the pace is averaged: a third of a second of two cores, and no single one decides. Before so many
nothing is refused for its time: the first job of a new worker may take ten times as long as all others."""

LOG_EVERY_S: Final = 1.0
"""How often a gateway that refuses says so: a flood of requests is no flood of lines."""


class GatewayFull(Unavailable):
    """As many requests are in flight as the gateway takes."""

    rejected = "gateway_full"


class Overloaded(Unavailable):
    """It could not be answered before its deadline."""

    rejected = "overload"


class Admission:
    """Lets requests in or refuses them at once. What is refused is metered, but not logged one by one.

    places: requests at once in this gateway. deadline_s: seconds in which each must be answered.
    """

    def __init__(self, *, places: int, deadline_s: float) -> None:
        self._places = places
        self._limit_s = PATIENCE * deadline_s
        self._held = 0
        self._jobs = 0
        self._pace_s = 0.0
        self._learned = 0
        self._refused = 0
        self._quiet_until = 0.0

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place in this gateway, for as long as the request is handled.

        Raises GatewayFull when all are taken, Overloaded when it would be answered too late.
        """
        if self._held >= self._places:
            raise self._refusal(GatewayFull("gateway is full"))
        excess_s = self._excess_s()
        if excess_s > 0:
            raise self._refusal(Overloaded("no outcome is expected in time", math.ceil(excess_s)))
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1

    @contextmanager
    def job(self) -> Iterator[None]:
        """The block is a job, from its dispatch to its outcome or until it is given up."""
        self._jobs += 1
        ahead, start = self._jobs, time.monotonic()
        try:
            yield
        finally:
            self._jobs -= 1
            self._learn((time.monotonic() - start) / ahead)

    def _excess_s(self) -> float:
        """How much too late one more request would be answered, in seconds; at most 0 when in time."""
        if self._learned < MEMORY or self._held < ALWAYS:
            return 0.0
        return (self._held + 1) * self._pace_s - self._limit_s

    def _learn(self, pace_s: float) -> None:
        self._learned = min(self._learned + 1, MEMORY)
        self._pace_s += (pace_s - self._pace_s) / self._learned

    def _refusal(self, error: Unavailable) -> Unavailable:
        self._refused += 1
        if time.monotonic() >= self._quiet_until:
            log.warning(str(error.rejected), refused=self._refused)
            self._refused = 0
            self._quiet_until = time.monotonic() + LOG_EVERY_S
        return error
