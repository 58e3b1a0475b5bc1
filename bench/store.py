"""Adds and searches of the embedded store with 1,000 to a million faces: their times, and the recall of the best 50.

    .venv/bin/python bench/store.py [--quick]

Through EdgeStore as a worker uses it, with one caller and one collection that grows. At each size: faces added one by
one, searches for the best 50 of all (`top50`) and of those from a confidence of 80 on (`listed`), each with its recall,
the part of the exact answer that it found. 99,000 and 999,000 are the worst case: the last 24,000 have no int8 yet.
Then the time to open the collection again. Memory and disk are per face, beyond those of an empty store. Prints JSON,
then a table. --quick: up to 100,000.

The faces are made up: `LikeSface` of bench/made_up_faces.py.
"""

import json
import tempfile
import time
import uuid
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import numpy as np
import results
from made_up_faces import DIMENSION, LikeSface, Vectors

from worker.models.identity import Identity
from worker.store.base import Match, Point
from worker.store.edge.store import EdgeStore

OURS: Final = Identity("bench", "0" * 64, 1, DIMENSION)
SIZES: Final = (1_000, 10_000, 99_000, 100_000, 999_000, 1_000_000)
QUICK: Final = (1_000, 10_000, 100_000)
LIMIT: Final = 50
LEAST_COSINE: Final = 0.363
"""The cosine of confidence 80 with the default model."""

BATCH: Final = 1_000
SINGLE: Final = 500
"""Adds that are timed one by one."""


class Exact:
    """The best LIMIT of all faces so far for each probe, by comparing all."""

    def __init__(self, probes: Vectors) -> None:
        self._probes = probes
        self._cosines = np.full((len(probes), LIMIT), -np.inf, np.float32)
        self._numbers = np.full((len(probes), LIMIT), -1)

    def add(self, vectors: Vectors, first: int) -> None:
        cosines = np.hstack([self._cosines, self._probes @ vectors.T])
        new = np.broadcast_to(np.arange(first, first + len(vectors)), (len(self._probes), len(vectors)))
        numbers = np.hstack([self._numbers, new])
        best = np.argpartition(-cosines, LIMIT - 1, axis=1)[:, :LIMIT]
        self._cosines = np.take_along_axis(cosines, best, axis=1)
        self._numbers = np.take_along_axis(numbers, best, axis=1)

    def best(self, least: float) -> list[set[int]]:
        rows = zip(self._numbers, self._cosines >= least, strict=True)
        return [set(numbers[kept].tolist()) for numbers, kept in rows]


def percentiles(times: Sequence[float]) -> dict[str, float]:
    """Return p50 and p99 in milliseconds; an add takes few hundredths of one."""
    return {f"p{percent}_ms": round(float(np.percentile(times, percent)) * 1e3, 3) for percent in (50, 99)}


def searched(store: EdgeStore, probes: Vectors, exact: Exact, least: float) -> dict[str, float]:
    times: list[float] = []
    answers: list[list[Match]] = []
    for vector in probes:
        begun = time.perf_counter()
        answers.append(store.search("bench", vector, LIMIT, least))
        times.append(time.perf_counter() - begun)
    wanted = exact.best(least)
    hits = sum(
        len(best & {match.person_id.int for match in found}) for best, found in zip(wanted, answers, strict=True)
    )
    total = sum(map(len, wanted))
    return {
        **percentiles(times),
        "recall": round(hits / total, 5) if total else 1.0,
        "found": round(total / len(probes), 1),
    }


def memory() -> dict[str, int]:
    """Return the bytes of this process: its own, and those of mapped files, which the system may drop."""
    lines = (line.split() for line in Path("/proc/self/status").read_text().splitlines())
    found = {line[0]: int(line[1]) << 10 for line in lines if line and line[0] in ("RssAnon:", "RssFile:")}
    return {"own": found["RssAnon:"], "mapped": found["RssFile:"]}


def disk(folder: Path) -> int:
    """Return the bytes taken on the disk: the engine's files are sparse."""
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())


def points(vectors: Vectors, first: int) -> list[Point]:
    return [Point(uuid.UUID(int=first + n), f"ID{first + n}", vector) for n, vector in enumerate(vectors)]


def measure(sizes: Sequence[int], searches: int) -> dict[str, Any]:
    faces = LikeSface()
    people = faces.people(BATCH)
    # Half of the probes are of people in the gallery.
    probes = np.concatenate([faces.photos(people[: searches // 2]), faces.photos(faces.people(searches // 2))])
    exact, batches, rows, stored = Exact(probes), faces.batches(BATCH), [], 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with closing(EdgeStore(folder, OURS, 1)) as store:
            before = memory()
            for size in sizes:
                longest = 0.0
                while stored < size:
                    vectors = faces.photos(people) if not stored else next(batches)
                    exact.add(vectors, stored)
                    fresh = points(vectors, stored)
                    stored += BATCH
                    single = SINGLE if stored == size else 0
                    for batch in ([fresh[: BATCH - single]], [[point] for point in fresh[BATCH - single :]]):
                        times = []
                        for some in batch:
                            begun = time.perf_counter()
                            store.add("bench", some)
                            times.append(time.perf_counter() - begun)
                        longest = max([longest, *times])
                row: dict[str, Any] = {"faces": size, "add": percentiles(times), "longest_add_s": round(longest, 2)}
                row["top50"] = searched(store, probes, exact, -1)
                row["listed"] = searched(store, probes, exact, LEAST_COSINE)
                row["bytes_a_face"] = {kind: round((memory()[kind] - before[kind]) / size) for kind in before}
                row["bytes_a_face"]["disk"] = round(disk(folder) / size)
                rows.append(row)
        with closing(EdgeStore(folder, OURS, 1)) as store:
            begun = time.perf_counter()
            store.count("bench")
            opening = round(time.perf_counter() - begun, 2)
            again = searched(store, probes, exact, -1)
    return {"dimension": DIMENSION, "searches": searches, "sizes": rows, "reopened": {"s": opening, "top50": again}}


def main() -> None:
    quick = results.is_quick()
    found = measure(QUICK if quick else SIZES, 200 if quick else 500)
    print(json.dumps(found))
    results.keep("store", found)
    for row in found["sizes"]:
        add, top, listed, taken = row["add"], row["top50"], row["listed"], row["bytes_a_face"]
        print(
            f"{row['faces']:>9,}  add p50 {add['p50_ms']:.2f} p99 {add['p99_ms']:.2f} ms"
            f"  top 50 p50 {top['p50_ms']:.2f} p99 {top['p99_ms']:.2f} ms recall {top['recall']:.4f}"
            f"  listed ({listed['found']:.0f}) p50 {listed['p50_ms']:.2f} ms recall {listed['recall']:.4f}"
            f"  {taken['own'] + taken['mapped']} B memory, {taken['disk']} B disk"
        )


if __name__ == "__main__":
    main()
