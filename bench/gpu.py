"""Measure a machine with a GPU in one run of at most six minutes: raw inferences, a process, a worker, the service.

    PYTHONPATH=tests:bench .venv/bin/python bench/gpu.py [--device cpu] [--quick]

Prints a table as it goes, and writes bench/results/gpu.json after each part, so that a run that is cut off leaves what
it has. --device cpu: the CPU takes the place of the GPU, to try the script out; nothing is written. --quick: seconds.

On a machine without network: `../shared/tools/gpu/pack OUT` makes two archives of this checkout and of onnxruntime-gpu;
its head says how to unpack them there. Then, in the unpacked project:

    export PYTHONPATH=/tmp/site:/tmp/pack/meta:.:tests:bench FACESEARCH_MODELS_DIR=/tmp/pack/models
    python3 -m facesearch models pull && timeout 400 python3 bench/gpu.py

It needs numpy, psutil and the runtime's packages. Without ../shared/faces/lfw, photos are packaged ones, which need
matplotlib and scikit-image.
"""

import argparse
import json
import os
import secrets
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import photos
import psutil
import results
import shared_gpu

from shared.errors import FaceNotDetected, OperatorError
from shared.host.cores import cores
from shared.settings import Settings
from worker.inference.process import COMMAND
from worker.inference.sessions import Size
from worker.models import files
from worker.models.catalog import Embedder
from worker.models.selection import in_use
from worker.vision.arcface import ArcFace
from worker.vision.passes import COARSE_SIDE, SIDE
from worker.vision.service import FaceService
from worker.vision.session import Device, FixedSessions, Session, open_session
from worker.vision.yunet import YuNet

LOAD: Final = Path(__file__).with_name("load.py")
LOADS: Final = 4
"""Most load generators at the same time: one does some 2,000 requests a second."""

START_S: Final = 150
"""Longest time in seconds in which a service must be ready: on a GPU its models are run in every shape first."""

RAW: Final = (
    ("embedder", 112, (1, 8, 32), 32),
    ("detector", COARSE_SIDE, (1, 8, 32), 8),
    ("detector", SIDE, (1, 8), 8),
)
"""Model, side of its images, images an inference, and images an inference of four sessions at once."""

QUICK: Final = (("embedder", 112, (1, 2), 1), ("detector", COARSE_SIDE, (1, 2), 1))

AT_ONCE: Final = 4


@dataclass(frozen=True)
class Run:
    """What is measured, and for how long. seconds: of each row. callers: of the service."""

    device: Device
    quick: bool
    seconds: float
    callers: Sequence[int]
    settings: Settings

    @property
    def devices(self) -> list[Device]:
        """The CPU, and the GPU."""
        return ["cpu"] if self.device == "cpu" else ["cpu", self.device]

    def graph(self, task: str) -> Path:
        detector, embedder = in_use(self.settings)
        return files.prepared_path(embedder if task == "embedder" else detector, self.settings.models_dir)

    @property
    def embedder(self) -> Embedder:
        return in_use(self.settings)[1]


Row = dict[str, Any]


def rate(works: Sequence[Callable[[], int]], seconds: float) -> float:
    """Return how much is done a second by functions that each return how much they did, a thread each."""
    for work in works:
        work()
    begun = threading.Barrier(len(works))

    def thread(work: Callable[[], int]) -> float:
        begun.wait()
        start, done = time.perf_counter(), 0
        while (lasted := time.perf_counter() - start) < seconds:
            done += work()
        return done / lasted

    with ThreadPoolExecutor(len(works)) as threads:
        return round(sum(threads.map(thread, works)), 1)


def raw(run: Run) -> Iterator[Row]:
    """Yield images a second of sessions alone: plain ones, and ones of a fixed shape (on a GPU: CUDA graphs)."""
    for task, side, counts, together in QUICK if run.quick else RAW:
        path, size = run.graph(task), (side, side)
        fixed = FixedSessions(path, run.device)
        plain = open_session(path, run.device)
        for rows in counts:
            yield _raw(run, f"{task} at {side}, batch {rows}, plain", [plain], size, rows)
            yield _raw(run, f"{task} at {side}, batch {rows}, fixed", [fixed.open((rows, *size, 3))], size, rows)
        several = [fixed.open((together, *size, 3)) for _ in range(AT_ONCE)]
        for session in several:  # one after the other: a CUDA graph is recorded
            session.run(np.zeros((together, *size, 3), np.uint8))
        yield _raw(run, f"{task} at {side}, {AT_ONCE} x batch {together}, fixed", several, size, together)


def _raw(run: Run, what: str, sessions: Sequence[Session], size: Size, rows: int) -> Row:
    images = np.random.default_rng(0).integers(0, 256, (rows, *size, 3), np.uint8)

    def work(session: Session) -> Callable[[], int]:
        return lambda: len(images) * bool(session.run(images))

    return {"what": what, "per_second": rate([work(session) for session in sessions], run.seconds / 3)}


def in_process(run: Run, images: Sequence[bytes]) -> Iterator[Row]:
    """Yield searches a second of threads of this process, without a queue."""
    for device in run.devices:
        detect, embed = (open_session(run.graph(task), device) for task in ("detector", "embedder"))
        service = FaceService(YuNet(detect), ArcFace(embed, run.embedder))
        for threads in (1, 2 if run.quick else 16):

            def work(number: int, service: FaceService = service) -> Callable[[], int]:
                turns = iter(range(number, 1 << 62))
                return lambda: bool(service.embed_most_prominent(images[next(turns) % len(images)]))

            found = rate([work(7 * number) for number in range(threads)], run.seconds)
            yield {"what": f"in process on {device}, {threads} threads", "per_second": found}


def worker(run: Run, images: Sequence[bytes]) -> Iterator[Row]:
    """Yield searches a second of a worker's vision processes, without a queue; and how its vectors agree with those of
    a CPU.
    """
    for device in run.devices:
        settings = run.settings.model_copy(update={"device": device, "vision_processes": None})
        for processes in sorted({1, cores()} if device == "cpu" else {settings.processes}):
            recorder = shared_gpu.Recorder()
            with closing(shared_gpu.opened(settings, processes, recorder, device, COMMAND)) as pool:
                for callers in [processes] if device == "cpu" else run.callers:
                    recorder.batches.clear()
                    load = shared_gpu.load(pool, images, callers, run.seconds)
                    load["faces_an_inference"] = round(statistics.mean(recorder.batches), 2)
                    yield {"what": f"{processes} vision processes on {device}, {callers} callers", **load}
                if device == run.device:
                    yield agreement(run, pool.embed_most_prominent, images)


def agreement(run: Run, embed: Callable[[bytes], Any], images: Sequence[bytes]) -> Row:
    """Return the cosines of the vectors of a device to those of this process's CPU: photos, and parts of them."""
    detector, embedder = (open_session(run.graph(task)) for task in ("detector", "embedder"))
    service = FaceService(YuNet(detector), ArcFace(embedder, run.embedder))
    parts = [*images, *(photos.cut(image, turn) for turn, image in enumerate(images))]
    cosines, differently = [], 0
    for image in parts:
        vectors = []
        for one in (service.embed_most_prominent, embed):
            with suppress(FaceNotDetected):
                vectors.append(one(image).vector)
        if len(vectors) == 2:
            cosines.append(float(vectors[0] @ vectors[1]))
        differently += len(vectors) == 1
    return {
        "what": f"vectors of {run.device} and of a CPU",
        "photos": len(parts),
        "least_cosine": round(min(cosines), 6),
        "below_0.9995": sum(cosine < 0.9995 for cosine in cosines),
        "below_0.999": sum(cosine < 0.999 for cosine in cosines),
        "found_by_one": differently,
    }


def service(run: Run, folder: Path, images: Sequence[bytes]) -> Iterator[Row]:
    """Yield requests a second of `facesearch up` as it comes."""
    paths = photos.written(images, folder / "photos")
    for device in run.devices:
        with up(folder / device, device) as (address, key, process):
            closed(address, key, "addface", 4, run.seconds / 2, paths)
            for callers in run.callers:
                before = _cpu_s(process)
                found = closed(address, key, "searchface", callers, run.seconds, paths)
                found["cpu_ms"] = round((_cpu_s(process) - before) * 1e3 / found.pop("requests"), 2)
                yield {"what": f"facesearch up on {device}, {callers} callers", **found}


@contextmanager
def up(folder: Path, device: Device) -> Iterator[tuple[str, str, psutil.Popen]]:
    """Start `facesearch up`; yield its address, a key and its process, and stop it afterwards."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    key = secrets.token_urlsafe(12)
    environment = {
        **os.environ,
        "FACESEARCH_API_KEY": key,
        "FACESEARCH_DATA_DIR": str(folder),
        "FACESEARCH_DEVICE": device,
        "FACESEARCH_LOG_LEVEL": "warning",
        "FACESEARCH_RATE": "0",
        "FACESEARCH_CONCURRENCY": "0",
        "FACESEARCH_DEADLINE_S": "30",
    }
    command = [sys.executable, "-m", "facesearch", "up", "--port", str(port), "--admin-port", "0"]
    process = psutil.Popen(command, env=environment, stdout=sys.stderr)
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_until_ready(address, process)
        yield address, key, process
    finally:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGTERM)
        process.wait(60)


def _wait_until_ready(address: str, process: psutil.Popen) -> None:
    until = time.monotonic() + START_S
    while True:
        with suppress(OSError), urllib.request.urlopen(f"{address}/readyz", timeout=5) as answer:  # noqa: S310 -- our own
            if answer.status == 200:
                return
        if process.poll() is not None or time.monotonic() > until:
            raise RuntimeError("the service does not start; its output says why")
        time.sleep(0.1)


def closed(address: str, key: str, call: str, callers: int, seconds: float, paths: Sequence[Path]) -> Row:
    """Return the report of closed loops of bench/load.py together: p50_ms and p99_ms are the worst of them."""
    count = min(LOADS, -(-callers // 8))
    shares = [callers // count + (number < callers % count) for number in range(count)]
    loads = [
        subprocess.Popen(  # noqa: S603 -- our own
            [sys.executable, str(LOAD), address, key, call, "closed", str(share), str(seconds), *map(str, paths)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for share in shares
    ]
    reports = [json.loads(load.communicate()[0]) for load in loads]
    return {
        "callers": callers,
        "requests": sum(report["requests"] for report in reports),
        "per_second": round(sum(report["per_second"] for report in reports), 1),
        "p50_ms": max(report["p50_ms"] for report in reports),
        "p99_ms": max(report["p99_ms"] for report in reports),
    }


def card() -> str:
    """Return the name of the GPU as its driver has it; "" without one."""
    with suppress(OSError, subprocess.CalledProcessError):
        found = subprocess.run(
            ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"],  # noqa: S607 -- on the path of a machine with one
            capture_output=True,
            text=True,
            check=True,
        )
        return found.stdout.splitlines()[0].strip()
    return ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    seconds, callers = (0.3, (1, 2)) if given.quick else (4.0, (1, 8, 32, 64, 128))
    run = Run(given.device, given.quick, seconds, callers, Settings())
    images = photos.small()[: 4 if given.quick else None]
    found: dict[str, Any] = {"card": card(), "photos": photos.source(), "rows": []}
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        parts = {
            "raw": lambda: raw(run),
            "in_process": lambda: in_process(run, images),
            "worker": lambda: worker(run, images),
            "service": lambda: service(run, Path(name), images),
        }
        for part, rows in parts.items():
            try:
                for row in rows():
                    found["rows"].append({"part": part, **row})
                    print(f"{time.monotonic() - begun:4.0f} s  {_shown(row)}", flush=True)
            except OperatorError as error:
                raise SystemExit(str(error)) from None
            if run.device == "cuda":
                results.keep("gpu", found)
    print(json.dumps(found))


def _shown(row: Row) -> str:
    return "  ".join([f"{row['what']:52}", *(f"{name} {value}" for name, value in row.items() if name != "what")])


def _cpu_s(process: psutil.Popen) -> float:
    """Return the CPU seconds of a process and all below it so far."""
    every = [process, *process.children(recursive=True)]
    return sum(sum(each.cpu_times()[:2]) for each in every)


if __name__ == "__main__":
    main()
