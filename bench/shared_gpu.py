"""Measure what one worker could do at most with a GPU, on any machine: its GPU is made up (bench/fake_gpu.py).

    PYTHONPATH=tests .venv/bin/python bench/shared_gpu.py [--quick]

Closed loops of searches by threads, as a worker's, with vision processes and an inference process as with
FACESEARCH_DEVICE=cuda: searches a second, milliseconds of CPU a search in all processes, latency, and the faces of an
inference. First without queue and store, then the whole service. Prints JSON, then a table.

    .venv/bin/python bench/shared_gpu.py --worker

A worker of such a service.
"""

import json
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, Final

import photos
import psutil
import results
from servers import running
from summaries import latencies, medians

from shared.settings import Settings
from worker.inference.plan import Plan
from worker.models import files
from worker.models.selection import in_use
from worker.processes.models import Vision
from worker.processes.pool import Ending, VisionPool
from worker.vision.memory_budget import MemoryBudget
from worker.vision.session import Device
from worker.waits import Waits

CALLERS: Final = (1, 2, 4, 8, 16, 32)
SERVICE_CALLERS: Final = (1, 8, 32)
WORKER: Final = "--worker"
FAKE_GPU: Final = (sys.executable, str(Path(__file__).with_name("fake_gpu.py")))


class Recorder:
    """Counts the faces of each inference, and drops the rest."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def record_stage(self, name: str, at: float, seconds: float) -> None:
        pass

    def found(self, faces: int) -> None:
        pass

    def embedded(self, faces: int) -> None:
        self.batches.append(faces)

    def vision_process_ended(self, how: Ending) -> None:
        raise RuntimeError(f"a vision process ended: {how}")


def opened(
    settings: Settings,
    processes: int,
    recorder: Recorder,
    device: Device = "cuda",
    command: Sequence[str] = FAKE_GPU,
) -> VisionPool:
    """Return vision processes on a device. command: what starts an inference process; by default on the made-up GPU."""
    detector, embedder = in_use(settings)
    detects, embeds = (files.prepared_path(model, settings.models_dir) for model in (detector, embedder))
    wait_s = settings.batch_wait_ms / 1e3
    side = embedder.input_size
    plan = None if device == "cpu" else Plan(str(detects), str(embeds), side, device, settings.batch_size, wait_s)
    vision = Vision(detects, embeds, embedder, settings.detection_score, settings.max_pixels, 600, plan, command)
    waits = Waits()
    return VisionPool(vision, processes, MemoryBudget(settings.decoded_mb * 1_000_000, waits), waits, recorder)


def load(pool: VisionPool, images: Sequence[bytes], callers: int, seconds: float) -> dict[str, Any]:
    """Return searches a second, CPU a search and latencies of callers that each search with the next photo."""
    begun = threading.Barrier(callers + 1)

    def caller(number: int) -> list[float]:
        took: list[float] = []
        begun.wait()
        before = time.perf_counter()
        until = before + seconds
        while before < until:
            pool.embed_most_prominent(images[(number + callers * len(took)) % len(images)])
            after = time.perf_counter()
            took.append(after - before)
            before = after
        return took

    with ThreadPoolExecutor(callers) as threads:
        running = [threads.submit(caller, number) for number in range(callers)]
        begun.wait()
        start, cpu = time.perf_counter(), _cpu_s()
        took = [one for each in running for one in each.result()]
        lasted, cpu = time.perf_counter() - start, _cpu_s() - cpu
    return {
        "callers": callers,
        "per_second": round(len(took) / lasted, 1),
        "cpu_ms": round(cpu * 1e3 / len(took), 2),
        **latencies(took),
    }


def measure(*, quick: bool) -> dict[str, Any]:
    settings, images = Settings(), photos.small()
    seconds, rounds, callers = (0.5, 1, (1, 8)) if quick else (2.0, 5, CALLERS)
    recorder = Recorder()
    taken: dict[int, list[dict[str, Any]]] = {count: [] for count in callers}
    with closing(opened(settings, max(callers), recorder)) as pool:
        load(pool, images, max(callers), seconds)
        for _ in range(rounds):
            for count in callers:
                recorder.batches.clear()
                taken[count].append(
                    load(pool, images, count, seconds) | {"faces_an_inference": statistics.mean(recorder.batches)}
                )
    return {
        "photos": photos.source(),
        "batch_size": settings.batch_size,
        "runs": [
            {name: round(statistics.median(run[name] for run in runs), 2) for name in runs[0]}
            for runs in taken.values()
        ],
    }


def whole_service(*, quick: bool) -> list[dict[str, Any]]:
    """Return the reports of closed loops of searches through the whole service, medians of several rounds."""
    seconds, rounds, callers = (0.5, 1, (1, 8)) if quick else (2.0, 5, SERVICE_CALLERS)
    command = (sys.executable, __file__, WORKER)
    taken: dict[int, list[dict[str, Any]]] = {count: [] for count in callers}
    with (
        tempfile.TemporaryDirectory() as name,
        running(Path(name) / "s", worker=command, FACESEARCH_DEVICE="cuda", FACESEARCH_DEADLINE_S=30) as service,
    ):
        paths = photos.written(photos.small(), Path(name) / "photos")
        service.add(paths)
        for _ in range(rounds):
            for count in callers:
                taken[count].append(service.closed("searchface", count, seconds, paths))
    return [medians(found) for found in taken.values()]


def worker() -> None:
    """Run a worker whose inference process has the made-up GPU."""
    from worker import __main__, runtime  # noqa: PLC0415 -- a worker's settings are in its environment

    runtime.Vision = partial(Vision, command=FAKE_GPU)  # type: ignore[misc,assignment]
    sys.argv.remove(WORKER)
    __main__.main()


def main() -> None:
    if WORKER in sys.argv:
        worker()
    quick = results.is_quick()
    found = measure(quick=quick) | {"service": whole_service(quick=quick)}
    print(json.dumps(found))
    results.keep("shared_gpu", found)
    for run in found["runs"]:
        print(
            f"{run['callers']:>3} callers  {run['per_second']:7.1f}/s  {run['cpu_ms']:5.2f} ms of CPU each  "
            f"p50 {run['p50_ms']:6.2f} ms  {run['faces_an_inference']:5.2f} faces an inference"
        )
    for run in found["service"]:
        cpu = "  ".join(f"{role} {spent:.2f}" for role, spent in run["cpu_ms"].items())
        speed = f"{run['per_second']:7.1f}/s  p50 {run['p50_ms']:6.2f} ms"
        print(f"{run['callers']:>3} callers of the service  {speed}  CPU ms: {cpu}")


def _cpu_s() -> float:
    """Return the CPU seconds of this process and all below it so far."""
    this = psutil.Process()
    return sum(sum(process.cpu_times()[:2]) for process in (this, *this.children(recursive=True)))


if __name__ == "__main__":
    main()
