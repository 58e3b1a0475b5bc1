"""All connections of a server: how many there may be, in all and from one address, and which one is dropped for a new
one.

A connection is idle while no request of it is being handled: between two requests, before the first, within headers, or
after its last answer. For a new connection the one that has been idle longest is dropped. Only if none is idle is the
new one refused.

X-Forwarded-For is not read. One connection of a proxy carries the requests of many callers, so their addresses say
nothing about connections: those of a trusted proxy count for the total only, not for an address.
"""

import time
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Final, Literal, Protocol

import structlog

from gateway.http import addresses
from gateway.http.balance import Balance
from gateway.metrics import ConnectionMetrics
from gateway.throttled_log import CONNECTIONS_EVERY_S, ThrottledLog
from shared.proxies import Network

log = structlog.stdlib.get_logger(__name__)

WARNING_FRACTION: Final = 0.8
"""Part of the connections from which on the log warns: time to act before callers are refused."""

MIN_IDLE_S: Final = 1.0
"""Minimum time in seconds that a connection is idle before it may be dropped: a caller that has just connected, or has
just got an answer, may be sending a request."""

RESERVED_DESCRIPTORS: Final = 256
"""File descriptors that are not for callers: three clients of Redis have 32 connections each at most, the admin API and
/metrics SIDE_CONNECTIONS each, and the process itself about 30."""

SIDE_CONNECTIONS: Final = 32
"""Connections of the admin API, and of /metrics, which have few callers."""


class Droppable(Protocol):
    """A connection that can be closed."""

    def drop(self) -> None:
        """Close it now; no caller is waiting for an answer."""


Refusal = Literal["full", "address"]


def connection_limit(descriptors: int, wanted: int) -> int:
    """Return the maximum number of connections with that many file descriptors, at most `wanted`."""
    return min(wanted, max(descriptors - RESERVED_DESCRIPTORS, descriptors // 2))


class Connections:
    """The connections of one server, at most `most`. per_address: from one address, by default half of them. trusted:
    proxies, which have no limit of their own. counts: metrics of these connections. balance: the numbers of all
    processes of the gateway, if there are several. clock: seconds.
    """

    def __init__(
        self,
        most: int = SIDE_CONNECTIONS,
        per_address: int | None = None,
        trusted: Sequence[Network] = (),
        counts: ConnectionMetrics | None = None,
        balance: Balance | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most = most
        self._per_address = per_address or max(1, most // 2)
        self._trusted = trusted
        self.counts = counts or ConnectionMetrics()
        self.counts.most.set(most)
        self._balance = balance
        self._clock = clock
        self._group_of: dict[Droppable, Hashable] = {}
        self._groups: dict[Hashable, set[Droppable]] = {}
        self._idle_since: dict[Droppable, float] = {}  # in order, the longest idle first
        self._log = ThrottledLog(log, CONNECTIONS_EVERY_S, ["given_up", "refused", "refused_by_address"], clock)

    def group(self, peer: Any) -> Hashable:
        """Return what the limit by address counts a peer's connections under; None: under nothing. peer: its address as
        a socket reports it.
        """
        if not isinstance(peer, tuple):  # a Unix socket
            return None
        address = addresses.parse(peer[0])
        return None if any(address in proxies for proxies in self._trusted) else addresses.network(address)

    def make_room(self, group: Hashable) -> Refusal | None:
        """Make room for one more connection of that group, dropping an idle one if necessary, or return why there is
        none.
        """
        refusal = self._find_room(group)
        if refusal is not None:
            self._log.count("refused" if refusal == "full" else "refused_by_address")
            self.counts.refused.labels(refusal).inc()
        if self._log.has_counts or len(self._group_of) >= WARNING_FRACTION * self._most:
            self._log.warn("connections_many", held=len(self._group_of), most=self._most)
        return refusal

    def add(self, connection: Droppable, group: Hashable) -> None:
        """Add a connection, which is busy until set_idle is called."""
        self._group_of[connection] = group
        if group is not None:
            self._groups.setdefault(group, set()).add(connection)
        self._report()

    @property
    def would_refuse(self) -> bool:
        """Whether a new connection would be refused: there are as many as there may be, and none is idle."""
        return len(self._group_of) >= self._most and not self._idle_since

    def others_have_fewer(self) -> bool:
        """Return whether another process of the gateway has fewer connections."""
        return self._balance is not None and self._balance.others_have_fewer()

    def set_idle(self, connection: Droppable) -> None:
        """Note that no request of this connection is being handled from now on."""
        self._idle_since.pop(connection, None)
        if connection in self._group_of:
            self._idle_since[connection] = self._clock()

    def set_busy(self, connection: Droppable) -> None:
        """Note that a request of this connection is being handled."""
        self._idle_since.pop(connection, None)

    def remove(self, connection: Droppable) -> None:
        """Remove a connection that is closed, if it is still known."""
        if connection not in self._group_of:
            return
        self._idle_since.pop(connection, None)
        group = self._group_of.pop(connection)
        if group is not None:
            self._groups[group].discard(connection)
            if not self._groups[group]:
                del self._groups[group]
        self._report()

    def drop_idle(self, number: int) -> int:
        """Drop at most `number` connections, those that have been idle longest. Returns how many were dropped."""
        dropped = 0
        while dropped < number and self._drop(next(iter(self._idle_since), None)):
            dropped += 1
        return dropped

    def _report(self) -> None:
        self.counts.held.set(len(self._group_of))
        if self._balance is not None:
            self._balance.report(len(self._group_of))

    def _find_room(self, group: Hashable) -> Refusal | None:
        own = self._groups.get(group, ())
        if len(own) >= self._per_address:
            idle = (connection for connection in own if connection in self._idle_since)
            if not self._drop(min(idle, key=self._idle_since.__getitem__, default=None)):
                return "address"
        if len(self._group_of) >= self._most and not self.drop_idle(1):
            return "full"
        return None

    def _drop(self, connection: Droppable | None) -> bool:
        if connection is None or self._clock() - self._idle_since[connection] < MIN_IDLE_S:
            return False
        self.remove(connection)
        connection.drop()
        self._log.count("given_up")
        self.counts.dropped_idle.inc()
        return True
