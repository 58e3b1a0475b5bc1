"""The clock of the machine is set while the service runs."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from faults.clock import Clock, clock, why_not
from faults.load import Load
from faults.rows import Row
from faults.stages import Whole, whole

HOUR_S: Final = 3600
"""As when a machine mistakes its local time for UTC: far beyond every deadline, within the day of an
Idempotency-Key.
"""


@dataclass
class Clocked(Whole):
    """`facesearch up`, all of whose processes, including both Valkeys, have a clock that can be set."""

    clock: Clock = field(kw_only=True)


@contextmanager
def clocked(folder: Path) -> Iterator[Clocked]:
    with clock(folder) as made, whole(folder, **made.environment) as stage:
        yield Clocked(folder, stage.urls, stage.key, stage.broker_url, service=stage.service, clock=made)


def jumped(stage: Clocked, _load: Load, seconds: int) -> float:
    """Set the clock while jobs run and keys are to expire."""
    stage.clock.jump(seconds)
    return time.monotonic()


def jumped_and_killed(stage: Clocked, load: Load, seconds: int) -> float:
    """Set the clock, then kill the worker: its jobs must still go to the next one."""
    stage.clock.jump(seconds)
    load.go_on(1)
    stage.kill("worker")
    return time.monotonic()


# The outcome of a job is kept for an hour, so that one which nobody has looked up yet may be gone an hour ahead.
ROWS: Final = (
    Row("clock 1 h ahead", partial(jumped, seconds=HOUR_S), clocked, later=0, why_not=why_not),
    Row("clock 1 h back", partial(jumped, seconds=-HOUR_S), stage=clocked, why_not=why_not),
    Row(
        "clock 1 h ahead, then kill -9 worker",
        partial(jumped_and_killed, seconds=HOUR_S),
        clocked,
        later=0,
        why_not=why_not,
    ),
    Row("clock 1 h back, then kill -9 worker", partial(jumped_and_killed, seconds=-HOUR_S), clocked, why_not=why_not),
)
