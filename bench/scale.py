"""Throughput as workers and callers are added.

    PYTHONPATH=tests .venv/bin/python bench/scale.py [--quick]

Workers of one thread each, one and two of them, by turns, over the stand-in of the tests for a Qdrant server
(tests/qdrant_server.py: Qdrant's engine behind its own API, not the real server). Then one worker of all threads with
1 to 256 callers. Prints JSON, then a table.
"""

import json
import statistics
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import photos
import results
from servers import running

from qdrant_server import qdrant
from service import load, medians


def workers(count: int, files: Sequence[Path], url: str, seconds: float) -> dict[str, Any]:
    """One round of so many workers."""
    settings = {"QDRANT_URL": url, "QDRANT_API_KEY": API_KEY, "FACESEARCH_WORKER_THREADS": 1, "FACESEARCH_RATE": 0}
    with tempfile.TemporaryDirectory() as name, running(Path(name), count, **settings) as service:
        load(service, "addface", 4, 1, files)
        return load(service, "searchface", 8, seconds, files) | {"workers": count}


API_KEY = "a key of benchmarks"


def measure(*, quick: bool) -> dict[str, Any]:
    seconds, rounds = (4, 2) if quick else (8, 5)
    images = photos.small()[:16]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        files = [folder / f"{number}.jpg" for number in range(len(images))]
        for file, image in zip(files, images, strict=True):
            file.write_bytes(image)
        url = stack.enter_context(qdrant(folder, API_KEY))
        by_workers: dict[int, list[dict[str, Any]]] = {1: [], 2: []}
        for _ in range(rounds):
            for count, runs in by_workers.items():
                runs.append(workers(count, files, url, seconds))
        ratio = statistics.median(
            two["per_second"] / one["per_second"] for one, two in zip(by_workers[1], by_workers[2], strict=True)
        )
        with tempfile.TemporaryDirectory() as name, running(Path(name), FACESEARCH_RATE=0) as service:
            load(service, "addface", 4, 1, files)
            counts = (1, 4, 16, 64) if quick else (1, 2, 4, 8, 16, 32, 64, 128, 256)
            callers = [load(service, "searchface", count, seconds, files) for count in counts]
    return {
        "photos": photos.source(),
        "workers": [medians(runs) for runs in by_workers.values()],
        "two_over_one": round(ratio, 2),
        "callers": callers,
    }


def main() -> None:
    found = measure(quick="--quick" in sys.argv)
    print(json.dumps(found))
    results.keep("scale", found)
    for run in found["workers"]:
        print(f"{run['workers']} worker(s) of one thread: {run['per_second']:.1f}/s, p50 {run['p50_ms']:.0f} ms")
    print(f"two over one: x{found['two_over_one']}")
    for run in found["callers"]:
        answers = ", ".join(f"{status} {count}" for status, count in run["answers"].items())
        speed = f"{run['per_second']:6.1f}/s  p50 {run['p50_ms']:.0f}  p99 {run['p99_ms']:.0f} ms"
        print(f"{run['callers']:>4} callers: {speed}  {answers}")


if __name__ == "__main__":
    main()
