"""The whole service under closed-loop load, against the floor: the same pipeline in this process with no queue.

    .venv/bin/python bench/service.py [--quick]

Floor and service by turns in one run, medians of several rounds. Efficiency is the floor's CPU for an image over all
CPU that a request takes in gateway, workers and broker. Prints JSON, then a table.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import photos
import results
from pipeline import throughput
from seeing import Ours, ours
from servers import Running, running

from shared.settings import Settings

CALLERS = (1, 8, 32)
CALLS = ("searchface", "addface")


def load(service: Running, call: str, callers: int, seconds: float, files: Sequence[Path]) -> dict[str, Any]:
    """What the load generator reports, and the service's CPU in milliseconds a request by role."""
    before = service.cpu_s()
    command = [sys.executable, str(Path(__file__).with_name("load.py")), service.address, service.key]
    done = subprocess.run(  # noqa: S603 -- our own
        [*command, call, str(callers), str(seconds), *map(str, files)], capture_output=True, text=True, check=True
    )
    report: dict[str, Any] = json.loads(done.stdout)
    spent = {role: seconds - before[role] for role, seconds in service.cpu_s().items()}
    return report | {"cpu_ms": {role: round(spent[role] * 1e3 / report["requests"], 2) for role in spent}}


def medians(rounds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Of every number of the rounds, however deep; what is no number is the first's."""
    merged: dict[str, Any] = {}
    for name, value in rounds[0].items():
        if isinstance(value, Mapping):
            merged[name] = medians([found[name] for found in rounds]) if name == "cpu_ms" else value
        elif isinstance(value, int | float):
            merged[name] = round(statistics.median(found[name] for found in rounds), 3)
        else:
            merged[name] = value
    return merged


def single(pipeline: Ours, image: bytes, rounds: int) -> float:
    """Milliseconds of one image alone, median."""
    took = []
    for _ in range(rounds):
        start = time.perf_counter()
        pipeline.service.describe_prominent(image)
        took.append(time.perf_counter() - start)
    return round(statistics.median(took) * 1e3, 2)


def measure(*, quick: bool) -> dict[str, Any]:
    settings = Settings()
    pipeline = ours(settings)
    images = photos.small()[: 16 if quick else None]
    seconds, rounds = (1.5, 2) if quick else (5, 5)
    calls = CALLS[:1] if quick else CALLS
    floors: list[dict[str, float]] = []
    alone: list[float] = []
    found: dict[tuple[str, int], list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = [folder / f"{number}.jpg" for number in range(len(images))]
        for file, image in zip(files, images, strict=True):
            file.write_bytes(image)
        with running(folder, FACESEARCH_RATE=0, FACESEARCH_DEADLINE_S=30) as service:
            load(service, "addface", 4, 1, files)
            for _ in range(rounds):
                for call in calls:
                    for callers in CALLERS:
                        floors.append(throughput(pipeline, images, settings.threads, seconds))
                        alone.append(single(pipeline, images[0], 10))
                        found.setdefault((call, callers), []).append(load(service, call, callers, seconds, files))
    floor = medians(floors) | {"p50_ms": round(statistics.median(alone), 2)}
    loads = []
    for runs in found.values():
        merged = medians(runs)
        merged["efficiency"] = round(floor["cpu_ms"] / sum(merged["cpu_ms"].values()), 3)
        loads.append(merged)
    return {"photos": photos.source(), "threads": settings.threads, "floor": floor, "loads": loads}


def main() -> None:
    found = measure(quick="--quick" in sys.argv)
    print(json.dumps(found))
    results.keep("service", found)
    floor = found["floor"]
    print(f"floor       {floor['per_second']:6.1f}/s  {floor['cpu_ms']:6.2f} ms of CPU  alone {floor['p50_ms']} ms")
    for run in found["loads"]:
        cpu = "  ".join(f"{role} {spent:.2f}" for role, spent in run["cpu_ms"].items())
        print(
            f"{run['call']:10} x{run['callers']:<3} {run['per_second']:6.1f}/s  p50 {run['p50_ms']:.1f}  "
            f"p95 {run['p95_ms']:.1f}  p99 {run['p99_ms']:.1f} ms  CPU ms: {cpu}  efficiency {run['efficiency']}"
        )


if __name__ == "__main__":
    main()
