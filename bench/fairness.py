"""One tenant asks for all that there is: what does another one see, who asks for a tenth of what the service can do?

    PYTHONPATH=tests .venv/bin/python bench/fairness.py [--quick]

The peak is what 16 callers get done who search again and again. The small tenant's searches arrive at a tenth of that
rate: alone, and beside a greedy tenant who searches with 128 callers, or adds photos of 90 faces with 12. All of these
are measured in each of three rounds. No limits of a key: what is fair is up to the queue. Prints JSON, then a table.
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
from summaries import medians

from shared.control import Control
from shared.redis_clients import connect

PART: Final = 0.1
CALLERS: Final = 16
AROUND_S: Final = 4.0
"""How much longer than the small tenant's the greedy load lasts, half of it before."""

ALONE: Final = "alone"


@dataclass(frozen=True)
class Greed:
    """What the greedy tenant does, and with how many callers."""

    call: str
    callers: int
    files: Sequence[Path]


def crowd(small: Sequence[bytes]) -> bytes:
    """A JPEG of 90 faces, in nine rows: not all photos show one alone, and more than a hundred are refused."""
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
    """The block is in the midst of the greedy load. What that tenant got done is in the report afterwards."""
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
                    seen = service.arriving("searchface", round(PART * peak, 2), seconds, files)
                taken[name].append(seen | {"greedy_per_second": got.get("per_second"), "greedy": got.get("answers")})
                print(name, taken[name][-1], flush=True)
    return {"peak_per_second": peak, "seen": {name: _summary(rows) for name, rows in taken.items()}}


def _summary(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Medians of the rounds, but the longest of all, and all answers."""
    answers: dict[str, int] = {}
    for row in rows:
        for status, count in row["answers"].items():
            answers[status] = answers.get(status, 0) + count
    figures = [{name: row[name] for name in ("p50_ms", "p99_ms")} for row in rows]
    longest = max(row["longest_ms"] for row in rows)
    greedy = [row["greedy_per_second"] for row in rows if row["greedy_per_second"] is not None]
    done = {"answers": answers, "greedy_per_second": float(np.median(greedy)) if greedy else None}
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
