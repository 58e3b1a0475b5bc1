"""Judges whether readings stay flat, and prints them as a table."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final

from shared.broker import RESULT_PREFIX
from soak.readings import KEPT, SERVERS, UP, Reading
from soak.trend import Trend, trend


@dataclass(frozen=True)
class Bound:
    """The limit of growth: a significant slope of more than per_h an hour that has come to more than `amount`, or to
    more than `early` in a run shorter than EARLY_H hours.
    """

    per_h: float
    amount: float
    early: float


EARLY_H: Final = 0.2

MEMORY: Final = Bound(per_h=16, amount=8, early=32)
"""In MiB. 16 in an hour is 400 in a day, and at 60 requests a second 80 bytes for each: a leak in every request is
larger. Allocators grow by some MiB at any time, for good, because of fragmentation: 8 is more than that in the 20
minutes that count of 30, and is 24 in an hour. In the beginning they fill quickly: 32, as in fuzz.run.
"""

MAPPED: Final = Bound(per_h=60, amount=60, early=200)
"""Mapped parts of files: a facedb of the embedded store has some 100 of them, more while its segments are rewritten,
and leaked ones add up with each rewrite. How much of them is resident is the system's choice, which reclaims what it
needs: up to three segments of each facedb, of 32 MiB each.
"""

TOGETHER: Final = 6
"""Readings of which only the lowest counts, for memory: half a minute in which the largest image comes and goes, 150
MiB while it is decoded. A leak lifts the lowest as well.
"""

OPEN: Final = Bound(per_h=4, amount=6, early=24)
"""Open files. Those of callers come and go, and connections to Redis are opened when needed: 6 of them may first be
needed after the warm-up, and 24 (see fuzz.run) after a short one. A leak in one of 10,000 requests adds 7 in 20
minutes.
"""

THREADS: Final = Bound(per_h=1, amount=2, early=2)
"""Threads. All are started during the warm-up, except the last one of a pool, and one for a pause."""

QUEUE: Final = Bound(per_h=20, amount=20, early=40)
"""Waiting jobs: at most as many as callers, some 40. A queue that grows by one a minute is growth."""

SETTLED: Final = 2
"""Permanent keys of a kind that may be new: at midnight, UTC, the counters of another day begin; and a queue is a key
only while a job waits in it, as are the two lines of the tenants.
"""

_LIVES_S: Final = {
    "fs:image": 5,
    RESULT_PREFIX: 5,
    "fs:once": 86_400,
    "fs:once-order": 86_400,
    "fs:drawn": 86_400,
    "fs:deletion": 87_321,
    "fs:adding": 87_320,
    "fs:async:job": 3600,
    "fs:webhook:delivery": 31 * 86_400,
    "fs:rate": 2,
    "fs:leases": 50,
    "fs:worker": 5,
}
_PAST_DEADLINE: Final = frozenset({"fs:image", RESULT_PREFIX, "fs:leases"})
"""Kinds of keys whose time to live counts from the deadline of a request."""

AT_WORK: Final = 50
"""Requests that may have begun before those seconds: somewhat more than the callers."""


@dataclass(frozen=True)
class Row:
    """One line of the table. grows: whether it exceeds its bound; None for keys that grow by design and are not judged
    here.
    """

    process: str
    quantity: str
    trend: Trend
    highest: float
    grows: bool | None


def lives_s(deadline_s: float) -> dict[str, float]:
    """Return the longest time to live of each kind of key, in seconds, as docs/state.md has it, for a service
    with that deadline of at most 60 s. All other kinds have as many keys after a million requests as after one.
    """
    return {kind: most + (deadline_s if kind in _PAST_DEADLINE else 0) for kind, most in _LIVES_S.items()}


def rows(readings: Sequence[Reading], deadline_s: float) -> list[Row]:
    """Judge the readings after the warm-up. Raises ValueError for fewer than three readings."""
    return list(chain(_processes(readings), _servers(readings), _kinds(readings, lives_s(deadline_s))))


def table(judged: Sequence[Row]) -> Iterator[str]:
    titles = ("first", "last", "highest", "per hour", "± error")
    yield " ".join((f"{'process':<8} {'quantity':<40}", *(f"{title:>9}" for title in titles), " verdict"))
    for row in judged:
        line, verdict = row.trend, {None: "by design", True: "GROWS", False: "flat"}[row.grows]
        yield (
            f"{row.process:<8} {row.quantity:<40} {line.first:>9.1f} {line.last:>9.1f} {row.highest:>9.1f} "
            f"{line.per_h:>9.1f} {line.error:>9.1f}  {verdict}"
        )


def growth(judged: Sequence[Row]) -> list[str]:
    """Return sentences about what grows."""
    return [f"{row.process}: {row.quantity} grows by {row.trend.per_h:.1f} an hour" for row in judged if row.grows]


def too_many(reading: Reading, most: dict[str, int]) -> list[str]:
    """Return sentences about kinds of KEPT with more keys than requests that leave one. most: those requests."""
    found = reading.stores["broker"].kinds
    return [f"{found[kind]} keys {kind}, of {most[kind]} requests" for kind in KEPT if found[kind] > most[kind]]


def overstaying(to_live: dict[str, int], deadline_s: float) -> list[str]:
    """Return sentences about kinds that must expire but have a key without an end, or with one later than
    documented.
    """
    return [
        f"a key {kind} has {to_live[kind]} s to live (-1: for ever), of {most:g} s"
        for kind, most in lives_s(deadline_s).items()
        if kind in to_live and not 0 <= to_live[kind] <= most
    ]


def _processes(readings: Sequence[Reading]) -> Iterator[Row]:
    for name in (UP, "worker", "gateway", *SERVERS):
        held = [reading.processes[name] for reading in readings]
        memory = [process.memory_mb for process in held]
        resident = [process.resident_mb for process in held]
        if name in SERVERS:
            # Memory of keys that requests leave for a day does not count.
            kept = [reading.stores[name].kept_mb for reading in readings]
            memory = [own - explained for own, explained in zip(memory, kept, strict=True)]
        yield _row(readings, name, "memory, MiB", memory, MEMORY)
        by_design = trend([reading.at for reading in readings], resident)
        yield Row(name, "resident, with files, MiB", by_design, max(resident), None)
        yield _row(readings, name, "parts of files mapped", [process.mapped for process in held], MAPPED)
        yield _row(readings, name, "open files", [process.files for process in held], OPEN)
        yield _row(readings, name, "threads", [process.threads for process in held], THREADS)


def _servers(readings: Sequence[Reading]) -> Iterator[Row]:
    for name in SERVERS:
        stores = [reading.stores[name] for reading in readings]
        unexplained = [store.used_mb - store.kept_mb for store in stores]
        yield _row(readings, name, "used_memory beyond kept keys, MiB", unexplained, MEMORY)
        yield _row(readings, name, "queue", [store.queued for store in stores], QUEUE)


def _kinds(readings: Sequence[Reading], lives: dict[str, float]) -> Iterator[Row]:
    for name in SERVERS:
        for kind in sorted(set(chain.from_iterable(reading.stores[name].kinds for reading in readings))):
            counts = [reading.stores[name].kinds[kind] for reading in readings]
            line = trend([reading.at for reading in readings], counts)
            yield Row(name, f"keys {kind}", line, max(counts), _grow(kind, counts, readings, lives))


def _grow(kind: str, counts: Sequence[int], readings: Sequence[Reading], lives: dict[str, float]) -> bool | None:
    """Return whether there are more keys of a kind than requests explain; None for kinds of KEPT, see `too_many`."""
    if kind in KEPT:
        return None
    if kind not in lives:
        return counts[-1] - counts[0] > SETTLED
    return any(
        count > AT_WORK + reading.requests - _requests_until(readings, reading.at - lives[kind])
        for count, reading in zip(counts, readings, strict=True)
    )


def _requests_until(readings: Sequence[Reading], at: float) -> int:
    """Return how many requests had been sent by then, at least."""
    return max((reading.requests for reading in readings if reading.at <= at), default=0)


def _row(readings: Sequence[Reading], process: str, quantity: str, values: Sequence[float], bound: Bound) -> Row:
    together = min(TOGETHER, len(values) // 3) if bound is MEMORY else 1
    starts = range(0, len(values) - together + 1, together)
    lowest = [min(values[start : start + together]) for start in starts]
    line = trend([readings[start].at for start in starts], lowest)
    amount = bound.early if line.hours < EARLY_H else bound.amount
    return Row(process, quantity, line, max(values), line.exceeds(bound.per_h, amount))
