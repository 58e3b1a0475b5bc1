"""All connections of a server: how many there may be, in all and of one address, and who goes when one more comes.

A connection waits while no request of it is being handled: between two requests, before the first, within headers, or
after its last answer. Those that wait make room for a new one, the one that has waited longest first. Only where none
waits is the new one refused.

X-Forwarded-For is not read. One connection of a proxy carries the requests of many callers, so their addresses say
nothing of connections: those of a trusted proxy count among all, and for no address.
"""

import time
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Final, Literal, Protocol

import structlog

from gateway.http.addresses import network, parsed
from gateway.metrics import ConnectionMetrics
from shared.proxies import Network

log = structlog.stdlib.get_logger(__name__)

NEAR: Final = 0.8
"""Part of the connections from which on the log says so: time to act, before anybody is refused."""

FRESH_S: Final = 1.0
"""Seconds that a connection waits at least before it is given up: a caller that was just let in, or answered, has a
request on the way."""

LOG_EVERY_S: Final = 10.0
"""How often the log says so at most: a flood of connections is no flood of lines."""

RESERVE: Final = 256
"""Descriptors that are not for callers: three clients of Redis have 32 connections each at most, the admin API and
/metrics SIDE each, and the process itself about 30."""

SIDE: Final = 32
"""Connections of the admin API, and of /metrics: a few people and programs of one's own."""


class Held(Protocol):
    """A connection, to whoever counts it."""

    def give_up(self) -> None:
        """Close it now; nobody is waiting for an answer."""


Refusal = Literal["full", "address"]


def connection_limit(descriptors: int, wanted: int) -> int:
    """How many connections there may be with so many descriptors; at most as many as wanted."""
    return min(wanted, max(descriptors - RESERVE, descriptors // 2))


class Connections:
    """most: connections in all. per_address: of one address, by default half of them. trusted: proxies, which have no
    bound of their own. All that is in `counts` belongs to these connections.
    """

    def __init__(
        self,
        most: int = SIDE,
        per_address: int | None = None,
        trusted: Sequence[Network] = (),
        counts: ConnectionMetrics | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most = most
        self._per_address = per_address or max(1, most // 2)
        self._trusted = trusted
        self.counts = counts or ConnectionMetrics()
        self.counts.most.set(most)
        self._clock = clock
        self._group_of: dict[Held, Hashable] = {}
        self._groups: dict[Hashable, set[Held]] = {}
        self._waiting: dict[Held, float] = {}
        self._given_up = 0
        self._refused: dict[Refusal, int] = {"full": 0, "address": 0}
        self._quiet_until = -LOG_EVERY_S

    def group(self, peer: Any) -> Hashable:
        """What the connections of a peer's address, as a socket tells it, are counted by; None: by nothing."""
        if not isinstance(peer, tuple):  # a Unix socket
            return None
        address = parsed(peer[0])
        return None if any(address in proxies for proxies in self._trusted) else network(address)

    def make_room(self, group: Hashable) -> Refusal | None:
        """For one more connection of that group, by giving up another where it must be; or why there is none."""
        refusal = self._without_room(group)
        if refusal is not None:
            self._refused[refusal] += 1
            self.counts.refused.labels(refusal).inc()
        self._say()
        return refusal

    def add(self, held: Held, group: Hashable) -> None:
        """One more, which says when it waits."""
        self._group_of[held] = group
        if group is not None:
            self._groups.setdefault(group, set()).add(held)
        self.counts.held.set(len(self._group_of))

    def waits(self, held: Held) -> None:
        """From now on no request of this connection is being handled."""
        self._waiting.pop(held, None)
        if held in self._group_of:
            self._waiting[held] = self._clock()

    def works(self, held: Held) -> None:
        """A request of this connection is being handled."""
        self._waiting.pop(held, None)

    def remove(self, held: Held) -> None:
        """It is gone. Nothing, when it is known to be."""
        if held not in self._group_of:
            return
        self._waiting.pop(held, None)
        group = self._group_of.pop(held)
        if group is not None:
            self._groups[group].discard(held)
            if not self._groups[group]:
                del self._groups[group]
        self.counts.held.set(len(self._group_of))

    def give_up(self, number: int) -> int:
        """Close those that have waited longest, so many at most. Returns how many."""
        given_up = 0
        while given_up < number and self._give_up(next(iter(self._waiting), None)):
            given_up += 1
        return given_up

    def _without_room(self, group: Hashable) -> Refusal | None:
        own = self._groups.get(group, ())
        if len(own) >= self._per_address:
            waiting = (held for held in own if held in self._waiting)
            if not self._give_up(min(waiting, key=self._waiting.__getitem__, default=None)):
                return "address"
        if len(self._group_of) >= self._most and not self.give_up(1):
            return "full"
        return None

    def _give_up(self, held: Held | None) -> bool:
        if held is None or self._clock() - self._waiting[held] < FRESH_S:
            return False
        self.remove(held)
        held.give_up()
        self._given_up += 1
        self.counts.dropped_idle.inc()
        return True

    def _say(self) -> None:
        events = self._given_up + sum(self._refused.values())
        if (events or len(self._group_of) >= NEAR * self._most) and self._clock() >= self._quiet_until:
            log.warning(
                "connections_many",
                held=len(self._group_of),
                most=self._most,
                given_up=self._given_up,
                refused=self._refused["full"],
                refused_by_address=self._refused["address"],
            )
            self._given_up = 0
            self._refused = {"full": 0, "address": 0}
            self._quiet_until = self._clock() + LOG_EVERY_S
