"""Who is let in: as many requests as this gateway has places for, of each tenant no more than its share of them, and no
more than can be answered in time.

Of the places each tenant may have SHARE times as many as are free. So some are free whatever others ask for, and who
comes new finds one: A. K. Choudhury, E. L. Hahne, "Dynamic Queue Length Thresholds for Shared-Memory Packet Switches",
IEEE/ACM Transactions on Networking 6(2), 1998.

How long a job takes is known from those of the tenant before it: a job that was the n-th of the tenant in flight and
took t seconds waited for n of them, t / n each, however many workers, other gateways and other tenants there are. That
pace, averaged over the last answers, times the tenant's requests in flight is what its next one would wait. Little's
law, J. D. C. Little, "A Proof for the Queuing Formula: L = λW", Operations Research 9(3), 1961. What cannot be done in
time is refused before its body is read, when it has cost next to nothing; queued, it would take the time of another one
and still be too late.
"""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import structlog

from shared.errors import Unavailable

log = structlog.stdlib.get_logger(__name__)

PATIENCE: Final = 0.7
"""Part of the deadline that a request may be expected to take: what comes in the meantime, larger photos or a worker
less, has the rest."""

ALWAYS: Final = 4
"""Requests of a tenant that are let in whatever is expected: without any nobody would learn that it goes faster again.
"""

MEMORY: Final = 16
"""Answers over which the pace is averaged: a third of a second of two cores, and no single one decides. Before so many
nothing is refused for its time: the first job of a new worker may take ten times as long as all others."""

SHARE: Final = 3
"""Places of a tenant for each that is free: alone it has three quarters of them, two such have three sevenths each."""

LOG_EVERY_S: Final = 1.0
"""How often a gateway that refuses says so: a flood of requests is no flood of lines."""


class GatewayFull(Unavailable):
    """As many requests are in flight as the gateway takes, in all or of one tenant."""

    rejected = "gateway_full"


class Overloaded(Unavailable):
    """It could not be answered before its deadline."""

    rejected = "overload"


@dataclass
class _Tenant:
    """Requests that hold a share, jobs in flight, and seconds for each of them, learned from so many answers."""

    held: int = 0
    jobs: int = 0
    pace_s: float = 0.0
    learned: int = 0

    def learn(self, pace_s: float) -> None:
        self.learned = min(self.learned + 1, MEMORY)
        self.pace_s += (pace_s - self.pace_s) / self.learned

    def expected_s(self) -> float:
        """Seconds until one more request would be answered; 0 while that is not known, or would not matter."""
        if self.learned < MEMORY or self.held < ALWAYS:
            return 0.0
        return (self.held + 1) * self.pace_s


class Admission:
    """Lets requests in or refuses them at once. What is refused is metered, but not logged one by one.

    places: requests at once in this gateway. deadline_s: seconds in which each must be answered.
    """

    def __init__(self, *, places: int, deadline_s: float) -> None:
        self._places = places
        self._limit_s = PATIENCE * deadline_s
        self._held = 0
        self._tenants: dict[str, _Tenant] = {}
        self._refused = 0
        self._quiet_until = 0.0

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place in this gateway, for as long as the request is handled. Raises GatewayFull when all are taken."""
        if self._held >= self._places:
            raise self._refusal(GatewayFull("gateway is full"))
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1

    @contextmanager
    def share(self, name: str) -> Iterator[None]:
        """The tenant's right to the place that the request has, for as long.

        Raises GatewayFull when it has its share of the places, Overloaded when it would be answered too late.
        """
        tenant = self._tenant(name)
        free = self._places - self._held
        if tenant.held and tenant.held >= SHARE * (free + 1):
            raise self._refusal(GatewayFull("the tenant has its share of the gateway"))
        excess_s = tenant.expected_s() - self._limit_s
        if excess_s > 0:
            raise self._refusal(Overloaded("no outcome is expected in time", math.ceil(excess_s)))
        tenant.held += 1
        try:
            yield
        finally:
            tenant.held -= 1

    @contextmanager
    def job(self, name: str) -> Iterator[None]:
        """The block is a job of the tenant, from its dispatch to its outcome or until it is given up."""
        tenant = self._tenant(name)
        tenant.jobs += 1
        ahead, start = tenant.jobs, time.monotonic()
        try:
            yield
        finally:
            tenant.jobs -= 1
            tenant.learn((time.monotonic() - start) / ahead)

    def _tenant(self, name: str) -> _Tenant:
        return self._tenants.setdefault(name, _Tenant())

    def _refusal(self, error: Unavailable) -> Unavailable:
        self._refused += 1
        if time.monotonic() >= self._quiet_until:
            log.warning(str(error.rejected), refused=self._refused)
            self._refused = 0
            self._quiet_until = time.monotonic() + LOG_EVERY_S
        return error
