"""Measure how batches form, and what they gain and cost, with a made-up model: no GPU is needed.

    .venv/bin/python bench/batching.py [--quick]

The model sleeps FIXED_MS and ROW_MS for each row, one inference at a time, like a GPU shared by threads. Callers in
closed loops sleep DECODE_MS on average, announce themselves, sleep PREPARE_MS and call it with one row: each alone, in
batches that do not wait, and in batches that wait for announced callers. Prints JSON, then a table.
"""

import json
import statistics
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import numpy as np
import results

from shared.settings import Settings
from worker.vision.batched_session import BatchedSession
from worker.vision.session import Session, Tensor

FIXED_MS: Final = 3.0
ROW_MS: Final = 0.5
DECODE_MS: Final = 8.0
PREPARE_MS: Final = 1.5
SHAPE: Final = (3, 8, 8)


class MadeUp:
    """A session that takes as long as a GPU might."""

    def __init__(self, gpu: threading.Lock) -> None:
        self._gpu = gpu

    def run(self, tensor: Tensor) -> dict[str, Tensor]:
        with self._gpu:
            time.sleep((FIXED_MS + ROW_MS * len(tensor)) / 1e3)
        return {"out": tensor.reshape(len(tensor), -1).sum(axis=1)}


def load(session: Session, announce: Callable[[], None], callers: int, seconds: float) -> dict[str, float]:
    """Return calls a second, and the milliseconds each caller spent in the model, including waiting."""
    until = time.perf_counter() + seconds

    def caller(number: int) -> list[float]:
        rng, took = np.random.default_rng(number), []
        tensor = np.full((1, *SHAPE), number, np.float32)
        while time.perf_counter() < until:
            time.sleep(rng.uniform(0.5, 1.5) * DECODE_MS / 1e3)
            announce()
            time.sleep(PREPARE_MS / 1e3)
            start = time.perf_counter()
            outputs = session.run(tensor)
            took.append(time.perf_counter() - start)
            if outputs["out"][0] != tensor.sum():
                raise AssertionError("the rows of another caller")
        return took

    with ThreadPoolExecutor(callers) as pool:
        took = [one * 1e3 for times in pool.map(caller, range(callers)) for one in times]
    return {
        "per_second": round(len(took) / seconds, 1),
        "p50_ms": round(statistics.median(took), 2),
        "p99_ms": round(float(np.percentile(took, 99)), 2),
    }


def measure(*, quick: bool) -> dict[str, Any]:
    seconds = 0.6 if quick else 3
    settings = Settings()
    runs = []
    for callers in (1, 2, 4, 8, 16, 32):
        gpu = threading.Lock()
        alone = load(MadeUp(gpu), lambda: None, callers, seconds)
        runs.append({"callers": callers, "way": "alone", "rows_a_call": 1.0, **alone})
        for wait_ms in (0.0, settings.batch_wait_ms):
            rows: list[int] = []
            session = BatchedSession(
                lambda gpu=gpu: MadeUp(gpu), [SHAPE], settings.batch_size, wait_ms / 1e3, rows.append
            )
            batched = load(session, session.announce, callers, seconds)
            session.close()
            runs.append(
                {
                    "callers": callers,
                    "way": f"batched, waiting {wait_ms:g} ms",
                    "rows_a_call": round(statistics.mean(rows), 2),
                    **batched,
                }
            )
    return {
        "fixed_ms": FIXED_MS,
        "row_ms": ROW_MS,
        "decode_ms": DECODE_MS,
        "prepare_ms": PREPARE_MS,
        "batch_size": settings.batch_size,
        "runs": runs,
    }


def main() -> None:
    found = measure(quick=results.is_quick())
    print(json.dumps(found))
    for run in found["runs"]:
        speed = f"{run['per_second']:7.1f}/s  {run['rows_a_call']:5.2f} rows a call"
        print(
            f"{run['callers']:>3} callers  {run['way']:24}  {speed}  "
            f"p50 {run['p50_ms']:6.2f}  p99 {run['p99_ms']:6.2f} ms in the model"
        )


if __name__ == "__main__":
    main()
