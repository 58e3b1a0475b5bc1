"""Admission: requests are admitted while this gateway has places and their tenant has not taken its share of them, and
only if they can be answered in time.

Each tenant may have SHARE times as many places as are free. So some always stay free, and a new tenant finds one:
A. K. Choudhury, E. L. Hahne, "Dynamic Queue Length Thresholds for Shared-Memory Packet Switches", IEEE/ACM Transactions
on Networking 6(2), 1998.

The time a job will take is estimated from the tenant's jobs before it: a job that was the n-th of the tenant in flight
and took t seconds had a pace of t / n seconds a job, whatever the numbers of workers, gateways and other tenants. The
pace averaged over the last answers, times the tenant's requests in flight, is the time its next request would take.
Little's law, J. D. C. Little, "A Proof for the Queuing Formula: L = λW", Operations Research 9(3), 1961. A request that
would be late is refused before its body is read, when it has cost next to nothing; queued, it would take a worker's
time and still be late.
"""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import structlog

from gateway.throttled_log import REFUSALS_EVERY_S, ThrottledLog
from shared.errors import Unavailable

log = structlog.stdlib.get_logger(__name__)

DEADLINE_FRACTION: Final = 0.7
"""Part of the deadline that a request may be expected to take. The rest is for what the estimate cannot know: larger
photos, or a worker less."""

ALWAYS_ADMITTED: Final = 4
"""Requests of a tenant that are admitted whatever the estimate: without any, it could never improve."""

PACE_SAMPLES: Final = 16
"""Answers over which the pace is averaged: a third of a second of two cores, and no single one decides. Until there are
as many, nothing is refused for its time: the first job of a new worker may take ten times as long as all others."""

SHARE: Final = 3
"""Places of a tenant for each free place: alone it gets three quarters of all, two such tenants three sevenths each."""


class GatewayFull(Unavailable):
    """The gateway, or the tenant, has as many requests in flight as it may."""

    rejected = "gateway_full"


class Overloaded(Unavailable):
    """The request could not be answered before its deadline."""

    rejected = "overload"


@dataclass
class _Tenant:
    """held: requests that hold a place. jobs: jobs in flight. pace_s: seconds a job, averaged over `samples`."""

    held: int = 0
    jobs: int = 0
    pace_s: float = 0.0
    samples: int = 0

    def learn(self, pace_s: float) -> None:
        self.samples = min(self.samples + 1, PACE_SAMPLES)
        self.pace_s += (pace_s - self.pace_s) / self.samples

    def expected_s(self) -> float:
        """Return the seconds until one more request would be answered; 0 while unknown or irrelevant."""
        if self.samples < PACE_SAMPLES or self.held < ALWAYS_ADMITTED:
            return 0.0
        return (self.held + 1) * self.pace_s


class Admission:
    """Admits requests or refuses them at once. Refusals are metered, and logged as counts.

    places: requests at once in this gateway. deadline_s: seconds in which each must be answered.
    """

    def __init__(self, *, places: int, deadline_s: float) -> None:
        self._places = places
        self._limit_s = DEADLINE_FRACTION * deadline_s
        self._held = 0
        self._tenants: dict[str, _Tenant] = {}
        self._refusals = ThrottledLog(log, REFUSALS_EVERY_S, ["refused"])

    @contextmanager
    def place(self) -> Iterator[None]:
        """Take a place in this gateway for the block. Raises GatewayFull when all are taken."""
        if self._held >= self._places:
            raise self._refusal(GatewayFull("gateway is full"))
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1

    @contextmanager
    def share(self, name: str, *, in_time: bool = True) -> Iterator[None]:
        """Count the place that the request has against its tenant for the block. in_time: whether its answer needs a
        job to be done.

        Raises GatewayFull when the tenant has its share of the places, Overloaded when the answer would be late.
        """
        tenant = self._tenant(name)
        free = self._places - self._held
        if tenant.held and tenant.held >= SHARE * (free + 1):
            raise self._refusal(GatewayFull("the tenant has its share of the gateway"))
        excess_s = tenant.expected_s() - self._limit_s
        if in_time and excess_s > 0:
            raise self._refusal(Overloaded("no outcome is expected in time", math.ceil(excess_s)))
        tenant.held += 1
        try:
            yield
        finally:
            tenant.held -= 1

    @contextmanager
    def job(self, name: str) -> Iterator[None]:
        """Time the block as a job of the tenant, from its dispatch to its outcome or until it is given up."""
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
        self._refusals.count("refused")
        self._refusals.warn(str(error.rejected))
        return error
