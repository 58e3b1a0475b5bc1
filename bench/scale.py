"""Measure throughput as workers and callers are added.

    PYTHONPATH=tests .venv/bin/python bench/scale.py [--quick]

Two workers of one thread each and then one, over the tests' stand-in for a Qdrant server (tests/qdrant_server.py:
Qdrant's engine behind its own API, not the real server). Then one worker of all threads with 1 to 256 callers that
search. Medians of several rounds. Prints JSON, then a table.
"""

import json
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import photos
import results
from servers import Running, running
from summaries import medians

from qdrant_server import qdrant

CALLERS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)
BY_WORKERS: Final = 8
"""Callers while workers are compared: more than their threads, few enough not to wait long."""

DEADLINE_S: Final = 30
"""Deadline of the service: long enough for 256 callers."""

PLACES: Final = 1024
"""Requests at once: a tenant alone may have three quarters of them, which the most callers must not reach."""

QDRANT_KEY: Final = "a key of benchmarks"


def by_workers(folder: Path, files: Sequence[Path], rounds: int, seconds: float) -> dict[str, Any]:
    """Return figures of one and two workers, and the median ratio. Each round has a service of its own."""
    taken: dict[int, list[dict[str, Any]]] = {1: [], 2: []}
    settings = {"FACESEARCH_WORKER_THREADS": 1, "FACESEARCH_DEADLINE_S": DEADLINE_S, "QDRANT_API_KEY": QDRANT_KEY}
    folder.mkdir()
    with qdrant(folder, QDRANT_KEY) as url:
        for number in range(rounds):
            with running(folder / f"{number}", 2, QDRANT_URL=url, **settings) as service:
                service.add(files)
                taken[2].append(service.closed("searchface", BY_WORKERS, seconds, files))
                service.stop_worker()
                taken[1].append(service.closed("searchface", BY_WORKERS, seconds, files))
    ratios = [two["per_second"] / one["per_second"] for one, two in zip(taken[1], taken[2], strict=True)]
    return {
        "workers": [{"workers": count, **medians(found)} for count, found in taken.items()],
        "two_over_one": round(statistics.median(ratios), 2),
    }


def by_callers(
    service: Running, files: Sequence[Path], counts: Sequence[int], rounds: int, seconds: float
) -> list[dict[str, Any]]:
    """Return an entry for each count. The service must have the faces of the files."""
    taken: dict[int, list[dict[str, Any]]] = {count: [] for count in counts}
    for _ in range(rounds):
        for count, found in taken.items():
            found.append(service.closed("searchface", count, seconds, files))
    return [medians(found) for found in taken.values()]


def show_workers(found: Mapping[str, Any]) -> None:
    for run in found["workers"]:
        print(f"{run['workers']} worker(s) of one thread: {run['per_second']:.1f}/s, p50 {run['p50_ms']:.0f} ms")
    print(f"two over one: x{found['two_over_one']}")


def show_callers(callers: Sequence[Mapping[str, Any]]) -> None:
    for run in callers:
        answers = ", ".join(f"{status} {count}" for status, count in run["answers"].items())
        speed = f"{run['per_second']:6.1f}/s  p50 {run['p50_ms']:.0f}  p99 {run['p99_ms']:.0f} ms"
        print(f"{run['callers']:>4} callers: {speed}  {answers}")


def main() -> None:
    quick = results.is_quick()
    counts, rounds = ((1, 8, 64), 1) if quick else (CALLERS, 3)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        files = photos.written(photos.small()[:16], folder / "photos")
        found = by_workers(folder / "workers", files, rounds, 1.0 if quick else 4.0)
        service = stack.enter_context(
            running(folder / "callers", FACESEARCH_DEADLINE_S=DEADLINE_S, FACESEARCH_IN_FLIGHT=PLACES)
        )
        service.add(files)
        found["callers"] = by_callers(service, files, counts, rounds, 1.0 if quick else 1.5)
    found = {"photos": photos.source(), **found}
    print(json.dumps(found))
    results.keep("scale", found)
    show_workers(found)
    show_callers(found["callers"])


if __name__ == "__main__":
    main()
