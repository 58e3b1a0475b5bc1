"""How often wrong admin keys are tried, by address: beyond some they are answered 429, and all are counted for the log.

The right key is let in however often a wrong one was tried beside it: else anybody could shut the operator out. What
keeps others out is that a key cannot be guessed; this bounds what trying costs, and lets it be seen.
"""

import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Final

from gateway.http import addresses

BURST: Final = 20
"""Wrong keys of an address that are answered 401 at once: an operator's script with a former key has so many."""

PER_S: Final = 10 / 60
"""As many more a second later."""

ADDRESSES: Final = 1024
"""That are remembered, some 200 bytes each. Whoever has more begins anew with each that is forgotten, which costs no
more than another wrong key does."""

TOLD: Final = 5
"""Addresses that have a line of their own at a time; all others have one together."""

OTHERS: Final = "other addresses"


@dataclass
class _Address:
    """left: wrong keys that it may still try, at the second `at`. untold: those that no log knows of yet."""

    left: float
    at: float
    untold: int = 0


class WrongKeys:
    """Of one gateway. clock: seconds."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._addresses: OrderedDict[str, _Address] = OrderedDict()  # the one that tried last is last
        self._untold_of_forgotten = 0

    def tried(self, address: str) -> int | None:
        """Count one. Returns None, or beyond the limit after how many whole seconds another is taken."""
        now = self._clock()
        name = network(address)
        known = self._addresses.setdefault(name, _Address(BURST, now))
        self._addresses.move_to_end(name)
        if len(self._addresses) > ADDRESSES:
            _, forgotten = self._addresses.popitem(last=False)
            self._untold_of_forgotten += forgotten.untold
        known.left = min(BURST, known.left + (now - known.at) * PER_S)
        known.at = now
        known.untold += 1
        if known.left >= 1:
            known.left -= 1
            return None
        return max(1, math.ceil((1 - known.left) / PER_S))

    def untold(self) -> dict[str, int]:
        """How often wrong keys were tried since this was asked last, by address, the most first; empty for never."""
        counts = {name: known.untold for name, known in self._addresses.items() if known.untold}
        for known in self._addresses.values():
            known.untold = 0
        most = sorted(counts, key=lambda name: -counts[name])
        told = {name: counts[name] for name in most[:TOLD]}
        others = sum(counts[name] for name in most[TOLD:]) + self._untold_of_forgotten
        self._untold_of_forgotten = 0
        return told | ({OTHERS: others} if others else {})


def network(address: str) -> str:
    """What one caller has of addresses; one that is none stays as it is."""
    try:
        return addresses.network(addresses.parse(address))
    except ValueError:
        return address or "unknown"
