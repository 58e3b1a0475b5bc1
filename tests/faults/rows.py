"""A row: one fault under load, and its result.

To add rows, write a module `rows_SUBJECT.py` in this folder with `ROWS`, a tuple of Row. A fault is a function

    def broker_away(stage: Up, load: Load) -> float:
        stage.broker.kill()
        over = time.monotonic()
        time.sleep(1)
        stage.broker.start()
        return over

It is called during the load, which goes on. It injects the fault and removes it, and returns the time of the monotonic
clock from which recovery counts: that of a kill, or the end of a lasting fault. It raises PromiseBroken, with a
sentence, if it sees a broken promise that callers do not see.
"""

from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from faults import stages
from faults.book import BROKEN, CHANGES, FACES
from faults.check import check
from faults.load import CALLERS, LATER, Load
from shared.contract import Status

WARM: Final = 10
"""Requests served before a fault: all callers are busy, and there are faces to lose."""

AFTERWARDS: Final = 10
"""Requests served after the recovery, before the final check."""

ADDS: Final = 800
"""Adds that a row may make by default."""

SHOWN: Final = 10
"""Problems of a row that are shown."""


class PromiseBroken(Exception):
    """The service broke a promise. The text says which."""


@dataclass(frozen=True)
class Row:
    """A fault and the service that it is injected into.

    name: what happens, as in the table. fault: see above. stage: the service; neighbouring rows with the same stage
    share it. breaks: connections of callers may end without an answer, since a gateway is killed. fails: requests may
    be answered with FAIL. quick: whether it is in the quick run. callers: how many. adds: the most adds. faces: adds to
    one facedb, FACES at most. later: part of the requests that nobody waits for. why_not: returns why this machine
    cannot run it, "" if it can.
    """

    name: str
    fault: Callable[[Any, Load], float]
    stage: Callable[[Path], AbstractContextManager[Any]] = stages.up
    breaks: bool = False
    fails: bool = True
    quick: bool = False
    callers: int = CALLERS
    adds: int = ADDS
    faces: int = FACES
    later: float = LATER
    why_not: Callable[[], str] = lambda: ""


@dataclass(frozen=True)
class Result:
    """The result of a row.

    requests: different ones. acknowledged: adds and deletions, of persons and of faces. lost, doubled: counts; the
    sentences are in problems, with all other broken promises. failed, broken: attempts that were answered with FAIL,
    and whose connection ended without an answer. worst_wait_s: for any answer. recovery_s: None if the service did not
    recover.
    """

    name: str
    requests: int
    acknowledged: int
    lost: int
    doubled: int
    failed: int
    broken: int
    worst_wait_s: float
    recovery_s: float | None
    problems: tuple[str, ...]

    @property
    def kept(self) -> bool:
        """Return whether every promise was kept."""
        return not (self.lost or self.doubled or self.problems) and self.recovery_s is not None


def play(row: Row, stage: stages.Stage, seed: int) -> Result:
    """Run one row on its stage."""
    facedbs = stage.new_facedbs(-(-row.adds // row.faces))
    where = (stage.urls, stage.key, stage.deadline_s)
    load = Load(*where, facedbs, seed, row.callers, row.faces, stage.webhooks, row.later)
    if stage.webhooks is not None:
        stage.webhooks.refuse_first()
    recovery_s = None
    with load:
        try:
            load.go_on(WARM)
            over = row.fault(stage, load)
            recovery_s = load.recovered(over)
            load.go_on(AFTERWARDS)
        except PromiseBroken as broken:
            load.book.problem(str(broken))
        except Exception as error:  # noqa: BLE001 -- the other rows still have to run
            load.book.problem(f"{type(error).__name__}: {error}")
    load.settle()
    check(load)
    return _result(row, load, recovery_s)


def not_played(row: Row, why: str) -> Result:
    """Return the result of a row whose stage could not be set up."""
    return Result(row.name, 0, 0, 0, 0, 0, 0, 0.0, None, (why,))


def _result(row: Row, load: Load, recovery_s: float | None) -> Result:
    book = load.book
    attempts = [attempt for _, attempt in book.attempts()]
    waits = (attempt.ended - attempt.began for request, attempt in book.attempts() if not request.later)
    broken = sum(attempt.status == BROKEN for attempt in attempts)
    failed = sum(attempt.status == Status.FAIL for attempt in attempts)
    if broken and not row.breaks:
        book.problem(f"{broken} connections ended without an answer")
    if failed and not row.fails:
        which = Counter(
            f"{request.call}{', not waited for' if request.later else ''}"
            for request, attempt in book.attempts()
            if attempt.status == Status.FAIL
        )
        book.problem(f"{failed} requests were answered with FAIL: {dict(which)}")
    return Result(
        row.name,
        requests=len(book.requests),
        acknowledged=sum(request.acknowledged and request.call in CHANGES for request in book.requests),
        lost=len(book.lost),
        doubled=len(book.doubled),
        failed=failed,
        broken=broken,
        worst_wait_s=max(waits, default=0.0),
        recovery_s=recovery_s,
        problems=(*sorted(book.lost.values())[:SHOWN], *sorted(book.doubled)[:SHOWN], *book.problems[:SHOWN]),
    )
