"""Disks that are full for a while."""

import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from faults.book import RIGHT
from faults.disk import Disk, disk, why_not
from faults.load import Load
from faults.rows import PromiseBroken, Row
from faults.stages import Up, Whole, up, whole
from shared.calls import ADD_FACE, DELETE_FACE, SEARCH_FACE, Call
from shared.contract import Status
from worker.store.edge.tending import MIN_FREE_BYTES

LASTS_S: Final = 4.0

STORE_MIB: Final = 512
"""Size of the disk of faces: three times what adds leave free."""

LOG_MIB: Final = 64
"""Size of the disk of the append-only file."""

LITTLE_BYTES: Final = MIN_FREE_BYTES // 2
"""Too little for an add, and enough for a deletion."""


FAILED: Final = frozenset({Status.FAIL})

DELETED: Final = RIGHT[DELETE_FACE] | RIGHT[SEARCH_FACE]
"""Statuses of a deletion; a search takes its place while there is nothing to delete."""


@dataclass
class Small(Whole):
    """`facesearch up` with a small disk."""

    disk: Disk = field(kw_only=True)


@contextmanager
def small_store(folder: Path) -> Iterator[Small]:
    """Start the service with its data directory on the disk; both Valkeys of the harness are elsewhere."""
    with disk(folder / "data", STORE_MIB) as made, up(folder) as stage:
        yield _small(stage, made)


@contextmanager
def small_everything(folder: Path) -> Iterator[Small]:
    """Start the service with everything on the disk; it syncs every change."""
    with disk(folder / "data", STORE_MIB) as made, whole(folder, FACESEARCH_SYNC="always") as stage:
        yield _small(stage, made)


@contextmanager
def small_log(folder: Path) -> Iterator[Small]:
    """Start the service with the broker's append-only file on the disk."""
    where = folder / "log"
    with disk(where, LOG_MIB) as made, up(folder, where) as stage:
        yield _small(stage, made)


def _small(stage: Whole | Up, made: Disk) -> Small:
    return Small(stage.folder, stage.urls, stage.key, stage.broker_url, service=stage.service, disk=made)


def store_full(stage: Small, load: Load) -> float:
    """Fill the disk until adds are refused, then completely. Searches succeed all the time."""
    with stage.disk.filled(LITTLE_BYTES):
        time.sleep(LASTS_S)
        _require(load, {ADD_FACE: FAILED, SEARCH_FACE: RIGHT[SEARCH_FACE], DELETE_FACE: DELETED})
        stage.disk.fill(0)
        time.sleep(LASTS_S)
        _require(load, {ADD_FACE: FAILED, SEARCH_FACE: RIGHT[SEARCH_FACE]})
    return time.monotonic()


def full(stage: Small, load: Load, lasts_s: float) -> float:
    """Fill the disk: nothing can be written, so nothing may be acknowledged."""
    with stage.disk.filled():
        time.sleep(lasts_s)
        _require(load, {ADD_FACE: FAILED})
    return time.monotonic()


def _require(load: Load, wanted: dict[Call, Collection[str]]) -> None:
    for call, statuses in wanted.items():
        answered = load.ask(call)
        if answered not in statuses:
            raise PromiseBroken(f"{call} on a full disk was answered {answered}, not {' or '.join(statuses)}")


ROWS: Final = (
    Row("disk of the embedded store full", store_full, stage=small_store, why_not=why_not),
    Row("disk of the append-only file full", partial(full, lasts_s=LASTS_S), stage=small_log, why_not=why_not),
    Row("disk of everything full", partial(full, lasts_s=2 * LASTS_S), stage=small_everything, why_not=why_not),
)
