"""Measure the whole service under closed-loop load against the floor: the same work in this process with no queue.

    PYTHONPATH=tests .venv/bin/python bench/service.py [--quick]

Floor and service are interleaved; medians of several rounds. Efficiency is the floor's CPU for a request over all CPU
that it takes in gateway, workers and broker; overhead is the additional time of the median answer to one caller. Both
compare a round's service with the floor just before it. Prints JSON, then a table.
"""

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import photos
import results
from floor import Floor, floor, run
from recognition import open_pipeline
from servers import Running, running
from summaries import medians

from shared.host.cores import cores
from shared.settings import Settings


@dataclass(frozen=True)
class Row:
    """A load: a call with photos of one kind, by a number of callers."""

    call: str
    kind: str
    callers: int


QUICK: Final = (Row("searchface", "small", 1), Row("searchface", "small", 8), Row("searchface", "small", 32))
LONG: Final = (
    *QUICK,
    *(Row("addface", "small", callers) for callers in (1, 8, 32)),
    *(Row("searchface", kind, 8) for kind in ("portrait", "2mp", "12mp")),
)
DEADLINE_S: Final = 30
"""Deadline of the service: long enough that no request is refused or given up."""


def measure(
    service: Running,
    whole: Floor,
    kinds: Mapping[str, Sequence[bytes]],
    rows: Sequence[Row],
    rounds: int,
    seconds: float,
) -> list[dict[str, Any]]:
    """Return an entry for each row. The service must have the faces of the small photos.

    Neighbouring rows with the same floor are compared with one measurement of it, just before them.
    """
    with tempfile.TemporaryDirectory() as name:
        files = {kind: photos.written(images, Path(name) / kind) for kind, images in kinds.items()}
        taken: dict[Row, list[dict[str, Any]]] = {row: [] for row in rows}
        for _ in range(rounds):
            for (call, kind, threads), alike in groupby(rows, floor_of):
                alone = run(getattr(whole, call), kinds[kind], threads, seconds)
                for row in alike:
                    load = service.closed(call, row.callers, seconds, files[kind])
                    taken[row].append(load | compared(load, alone))
    return [{"photos": row.kind, **medians(found)} for row, found in taken.items()]


def floor_of(row: Row) -> tuple[str, str, int]:
    """Return the call, kind of photos and threads of a row's floor: one caller keeps one thread busy."""
    return row.call, row.kind, min(row.callers, cores())


def compared(load: Mapping[str, Any], alone: Mapping[str, float]) -> dict[str, Any]:
    """Return efficiency, and p50_overhead_ms for a single caller; several callers wait for each other."""
    efficiency = round(alone["cpu_ms"] / sum(load["cpu_ms"].values()), 3)
    found: dict[str, Any] = {"floor": alone, "efficiency": efficiency}
    if load["callers"] == 1:
        found["p50_overhead_ms"] = round(load["p50_ms"] - alone["p50_ms"], 2)
    return found


def show(loads: Sequence[Mapping[str, Any]]) -> None:
    for load in loads:
        cpu = "  ".join(f"{role} {spent:.2f}" for role, spent in load["cpu_ms"].items())
        print(
            f"{load['call']:10} {load['photos']:8} x{load['callers']:<3} {load['per_second']:6.1f}/s  "
            f"p50 {load['p50_ms']:.1f}  p95 {load['p95_ms']:.1f}  p99 {load['p99_ms']:.1f} ms  "
            f"CPU ms: floor {load['floor']['cpu_ms']:.2f}  {cpu}  efficiency {load['efficiency']:.3f}"
            + (f"  p50 {load['p50_overhead_ms']:+.1f} ms" if "p50_overhead_ms" in load else "")
        )


def main() -> None:
    quick = results.is_quick()
    pipeline, kinds = open_pipeline(Settings()), photos.photos()
    rows, rounds, seconds = (QUICK, 3, 1.0) if quick else (LONG, 5, 1.5)
    with (
        tempfile.TemporaryDirectory() as name,
        floor(pipeline, kinds["small"]) as whole,
        running(Path(name) / "service", FACESEARCH_DEADLINE_S=DEADLINE_S) as service,
    ):
        service.add(photos.written(kinds["small"], Path(name) / "small"))
        loads = measure(service, whole, kinds, rows, rounds, seconds)
    found = {"photos": photos.source(), "threads": cores(), "loads": loads}
    print(json.dumps(found))
    results.keep("service", found)
    show(loads)


if __name__ == "__main__":
    main()
