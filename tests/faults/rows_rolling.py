"""SIGTERM: processes are stopped and started again under load, and no caller notices."""

import signal
import time
from collections.abc import Iterable
from functools import partial
from typing import Final

from faults.load import Load
from faults.rows import PromiseBroken, Row
from faults.separate_processes import SeparateProcesses, separate_processes
from faults.stages import Part, Up
from processes import wait_for

TIMES: Final = 3
"""Repetitions: a single stop could meet a moment without a job."""

BETWEEN: Final = 10
"""Requests served between two stops."""


def terminated(stage: Up, load: Load, name: str) -> float:
    """Stop a child of `up`, which starts it again and holds the gateway's socket meanwhile."""
    over = time.monotonic()
    for _ in range(TIMES):
        load.go_on(BETWEEN)
        over = time.monotonic()
        stage.kill(name, signal.SIGTERM)
        wait_for(lambda: stage.has(name))
    return over


def gateways(stage: SeparateProcesses, load: Load) -> float:
    """Stop the gateways one after the other: each reports that it is not ready, serves for FACESEARCH_DRAIN_S, and ends
    with status 0.
    """
    return _rolled(stage, load, stage.gateways, "gateway")


def workers(stage: SeparateProcesses, load: Load) -> float:
    """Stop the workers one after the other: each finishes its jobs, leaves the others to its neighbour, and ends with
    status 0.
    """
    return _rolled(stage, load, stage.workers, "worker")


def _rolled(stage: SeparateProcesses, load: Load, parts: Iterable[Part], name: str) -> float:
    over = time.monotonic()
    for part in parts:
        load.go_on(BETWEEN)
        over = time.monotonic()
        status = part.stop()
        if status:
            raise PromiseBroken(f"a {name} ended with status {status} after SIGTERM")
        part.start()
        stage.wait_until_ready()
    return over


ROWS: Final = (
    Row(f"SIGTERM gateway, {TIMES} times", partial(terminated, name="gateway"), fails=False),
    Row(f"SIGTERM worker, {TIMES} times", partial(terminated, name="worker"), fails=False),
    Row("2 gateways rolled", gateways, stage=separate_processes, fails=False),
    Row("2 workers rolled", workers, stage=separate_processes, fails=False),
)
