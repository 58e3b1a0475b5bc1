"""Counting wrong admin keys by address: beyond a rate they are answered 429, and all are counted for the audit trail.

The right key always passes, however often wrong ones were tried: else an attacker could lock the operator out. A key
cannot be guessed; the limit bounds what trying costs, and the counts make it visible.
"""

import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Final

from gateway.http import addresses

BURST: Final = 20
"""Wrong keys of an address that are answered 401 at once: as many as an operator's script with an old key may send."""

PER_S: Final = 10 / 60
"""Further wrong keys a second that are answered 401."""

ADDRESSES: Final = 1024
"""Addresses that are remembered, some 200 bytes each. An attacker with more starts again with each that is forgotten,
which gains one wrong key."""

LISTED: Final = 5
"""Addresses that are listed by themselves at a time; all others are summed up."""

OTHERS: Final = "other addresses"


@dataclass
class _Address:
    """left: wrong keys that it may still try, at second `at` of the clock. count: those since the last take_counts."""

    left: float
    at: float
    count: int = 0


class WrongKeys:
    """The wrong keys that were tried at one gateway. clock: seconds."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._addresses: OrderedDict[str, _Address] = OrderedDict()  # the most recent is last
        self._count_of_forgotten = 0

    def record(self, address: str) -> int | None:
        """Count a wrong key. Returns None, or beyond the limit the whole seconds until the next may be tried, >= 1."""
        now = self._clock()
        name = network(address)
        known = self._addresses.setdefault(name, _Address(BURST, now))
        self._addresses.move_to_end(name)
        if len(self._addresses) > ADDRESSES:
            _, forgotten = self._addresses.popitem(last=False)
            self._count_of_forgotten += forgotten.count
        known.left = min(BURST, known.left + (now - known.at) * PER_S)
        known.at = now
        known.count += 1
        if known.left >= 1:
            known.left -= 1
            return None
        return max(1, math.ceil((1 - known.left) / PER_S))

    def take_counts(self) -> dict[str, int]:
        """Return the wrong keys since the last call by address, the most first, and reset the counts."""
        counts = {name: known.count for name, known in self._addresses.items() if known.count}
        for known in self._addresses.values():
            known.count = 0
        most = sorted(counts, key=lambda name: -counts[name])
        listed = {name: counts[name] for name in most[:LISTED]}
        others = sum(counts[name] for name in most[LISTED:]) + self._count_of_forgotten
        self._count_of_forgotten = 0
        return listed | ({OTHERS: others} if others else {})


def network(address: str) -> str:
    """Return the addresses of one caller, see gateway/http/addresses.py; a text that is no address is returned as it
    is.
    """
    try:
        return addresses.network(addresses.parse(address))
    except ValueError:
        return address or "unknown"
