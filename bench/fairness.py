"""Measure what a small tenant gets beside a greedy one.

    PYTHONPATH=tests .venv/bin/python bench/fairness.py [--quick]

The peak is the throughput of a closed loop of 16 callers. The small tenant's searches arrive at a tenth of that rate:
alone, and beside a greedy tenant that searches with 128 callers, or adds photos of 90 faces with 12. All of these are
measured in each of three rounds. Keys have no limits: fairness is up to the queue. Prints JSON, then a table.
"""

import asyncio
import json
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import photos
import results
from servers import Running, running
from summaries import added, medians

from shared.control import Control
from shared.redis_clients import connect

SHARE: Final = 0.1
CALLERS: Final = 16
AROUND_S: Final = 4.0
"""Additional length of the greedy load, half of it before the small tenant's and half after."""

ALONE: Final = "alone"


@dataclass(frozen=True)
class Greed:
    """A load of the greedy tenant."""

    call: str
    callers: int
    files: Sequence[Path]


def crowd(small: Sequence[bytes]) -> bytes:
    """Return a JPEG of 90 faces in nine rows; more than a hundred would be refused."""
    faces = [cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[45:205, 45:205] for data in small]
    rows = [np.hstack([faces[(10 * row + column) % len(faces)] for column in range(10)]) for row in range(9)]
    return cv2.imencode(".jpg", np.vstack(rows), [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()


def key_of_a_new_tenant(broker_url: str, name: str) -> str:
    async def make() -> str:
        async with connect(broker_url) as redis:
            control = Control(redis)
            await control.create_tenant(name)
            await control.create_facedb(name, name)
            await control.set_default_facedb(name, name)
            return (await control.create_key(name, name))[1]

    return asyncio.run(make())


@contextmanager
def beside(service: Running, greed: Greed | None, seconds: float) -> Iterator[dict[str, Any]]:
    """Run the block during the greedy load. The yielded report has that tenant's figures afterwards."""
    report: dict[str, Any] = {}
    if greed is None:
        yield report
        return

    def ask() -> None:
        report.update(service.closed(greed.call, greed.callers, seconds + AROUND_S, greed.files))

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        threading.Event().wait(AROUND_S / 2)
        yield report
    finally:
        asking.join()


def measure(folder: Path, rounds: int, seconds: float) -> dict[str, Any]:
    small = photos.small()
    files = photos.written(small, folder / "small")
    loads = {
        ALONE: None,
        "128 callers search": Greed("searchface", 128, files),
        "12 callers add 90 faces": Greed("addface", 12, photos.written([crowd(small)], folder / "crowd")),
    }
    taken: dict[str, list[dict[str, Any]]] = {name: [] for name in loads}
    with running(folder / "service") as service:
        greedy = replace(service, key=key_of_a_new_tenant(service.broker_url, "greedy"))
        for tenant in (service, greedy):
            tenant.add(files[:10])
        peak = service.closed("searchface", CALLERS, seconds, files)["per_second"]
        for _ in range(rounds):
            for name, greed in loads.items():
                with beside(greedy, greed, seconds) as got:
                    seen = service.arriving("searchface", round(SHARE * peak, 2), seconds, files)
                taken[name].append(seen | {"greedy_per_second": got.get("per_second"), "greedy": got.get("answers")})
                print(name, taken[name][-1], flush=True)
    return {"peak_per_second": peak, "seen": {name: _summary(rows) for name, rows in taken.items()}}


def _summary(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return medians of the rounds, the longest answer of all, and all answers counted."""
    figures = [{name: row[name] for name in ("p50_ms", "p99_ms")} for row in rows]
    longest = max(row["longest_ms"] for row in rows)
    greedy = [row["greedy_per_second"] for row in rows if row["greedy_per_second"] is not None]
    done = {
        "answers": added(row["answers"] for row in rows),
        "greedy_per_second": float(np.median(greedy)) if greedy else None,
    }
    return {**medians(figures), "longest_ms": longest, **done}


def show(found: dict[str, Any]) -> None:
    alone = found["seen"][ALONE]
    print(f"peak {found['peak_per_second']:.1f} searches/s; the small tenant asks for a tenth")
    for name, seen in found["seen"].items():
        print(
            f"{name:25} p50 {seen['p50_ms']:.0f} ms ({seen['p50_ms'] / alone['p50_ms']:.1f} x alone)  "
            f"p99 {seen['p99_ms']:.0f} ms ({seen['p99_ms'] / alone['p99_ms']:.1f} x)  "
            f"longest {seen['longest_ms']:.0f} ms  answers {seen['answers']}  greedy {seen['greedy_per_second']}/s"
        )


def main() -> None:
    rounds, seconds = (1, 6.0) if results.is_quick() else (3, 20.0)
    with tempfile.TemporaryDirectory() as name:
        found = measure(Path(name), rounds, seconds)
    results.keep("fairness", found)
    print(json.dumps(found))
    show(found)


if __name__ == "__main__":
    main()
