"""The in-process cost of one image, with no queue: what a service on the same cores cannot undercut.

    .venv/bin/python bench/pipeline.py [--quick]

Each stage of each kind of photo in milliseconds, medians of one thread; images a second of one and of N threads; and
the pipeline that anybody would write first, on the same photos in the same run, by turns. Prints JSON, then a table.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import photos
import pybase64
import results
from seeing import Ours, naive, ours

from shared.settings import Settings
from worker.faces.decode import decode
from worker.faces.geometry import align, most_prominent
from worker.models.identity import Identity
from worker.store.memory import MemoryStore

PROBE = Identity("bench", "0" * 64, 1, 128)


def ms(work: Callable[[], object], rounds: int) -> float:
    """Median."""
    work()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return round(statistics.median(times) * 1e3, 3)


def by_stage(pipeline: Ours, data: bytes, rounds: int) -> dict[str, float]:
    image, text = decode(data), pybase64.b64encode(data)
    found = pipeline.yunet.detect(image)
    landmarks = most_prominent(found, (image.shape[1], image.shape[0])).landmarks
    crops = np.stack([align(image, landmarks)])
    vector = pipeline.arcface.embed(crops)[0]
    store = MemoryStore(PROBE)
    return {
        "base64": ms(lambda: pybase64.b64decode(text, validate=True), rounds),
        "decode": ms(lambda: decode(data), rounds),
        "detect": ms(lambda: pipeline.yunet.detect(image), rounds),
        "align": ms(lambda: align(image, landmarks), rounds),
        "embed": ms(lambda: pipeline.arcface.embed(crops), rounds),
        "store": ms(lambda: store.search("none", vector, 50, 0), rounds),
        "all": ms(lambda: pipeline.service.describe_prominent(data), rounds),
    }


def compared(first: Callable[[bytes], object], second: Callable[[bytes], object], images: Sequence[bytes]) -> float:
    """How many times as long the first takes, image by image and by turns: the median of the ratios."""
    ratios = []
    for data in images:
        took = []
        for work in (first, second):
            start = time.perf_counter()
            work(data)
            took.append(time.perf_counter() - start)
        ratios.append(took[0] / took[1])
    return round(statistics.median(ratios), 2)


def throughput(pipeline: Ours, images: Sequence[bytes], threads: int, seconds: float) -> dict[str, float]:
    """Images a second, and CPU milliseconds an image, of that many threads."""
    until = time.perf_counter() + seconds

    def work(number: int) -> int:
        done = 0
        while time.perf_counter() < until:
            pipeline.service.describe_prominent(images[(number + done) % len(images)])
            done += 1
        return done

    start, cpu = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(threads) as pool:
        done = sum(pool.map(work, range(threads)))
    took, cpu = time.perf_counter() - start, time.process_time() - cpu
    return {"per_second": round(done / took, 1), "cpu_ms": round(cpu * 1e3 / done, 2)}


def agreement(
    first: Callable[[bytes], np.ndarray], second: Callable[[bytes], np.ndarray], images: Sequence[bytes]
) -> float:
    """The smallest cosine between what both see in an image: the same face, described alike."""
    return round(min(float(first(data) @ second(data)) for data in images), 5)


def measure(*, quick: bool) -> dict[str, object]:
    settings = Settings()
    pipeline, plain = ours(settings), naive(settings)
    kinds = photos.photos()
    rounds = 8 if quick else 40
    seconds = 2 if quick else 8

    def describe(data: bytes) -> np.ndarray:
        return pipeline.service.describe_prominent(data).vector

    if quick:
        kinds = {**kinds, "small": kinds["small"][:24]}
    return {
        "photos": photos.source(),
        "stages_ms": {kind: by_stage(pipeline, images[0], rounds) for kind, images in kinds.items()},
        "naive_ratio": {
            kind: compared(plain, describe, images if len(images) > 1 else images * rounds)
            for kind, images in kinds.items()
        },
        "least_agreement": {kind: agreement(plain, describe, images) for kind, images in kinds.items()},
        "threads": {
            threads: throughput(pipeline, kinds["small"], threads, seconds) for threads in sorted({1, settings.threads})
        },
    }


def main() -> None:
    found = measure(quick="--quick" in sys.argv)
    print(json.dumps(found))
    results.keep("pipeline", found)
    for kind, stages in found["stages_ms"].items():
        shown = "  ".join(f"{stage} {value:7.2f}" for stage, value in stages.items())
        print(f"{kind:9} {shown}   naive x{found['naive_ratio'][kind]}")
    for threads, speed in found["threads"].items():
        print(f"{threads} thread(s): {speed['per_second']} images/s, {speed['cpu_ms']} ms of CPU each")


if __name__ == "__main__":
    main()
