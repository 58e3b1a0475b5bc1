"""Compare the ways of preprocessing that a worker knows: what they recognise, and what an add and a search cost.

    PYTHONPATH=. .venv/bin/python bench/preprocessing.py [--quick] [DIR]

DIR has a folder for each person with their photos (by default ../shared/faces/lfw; 100 people of it with --quick). All
photos are compared with each other as they are, and again after each change (bench/changed_photos.py), by the vectors
that a search makes of them. A way is compared with the first one on the same people: differences have an interval of 95
percent from resampling people, the same for both. `all of them` is the mean of all versions of the photos.

cost: median milliseconds of CPU of one thread for a photo, of the first way and by how much others differ. The ways
take turns. Prints JSON, then a table. Rates are in percent, FAR as a multiple of what the confidence stands for.
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import numpy as np
from changed_photos import CHANGES, QUALITY, Change, brighter, written
from photos import LFW
from recognition import open_pipeline

from facesearch.evaluation.fitting import FARS as STANDS_FOR
from facesearch.evaluation.intervals import bootstrap, resampled_true_accepts
from facesearch.evaluation.metrics import identify
from facesearch.evaluation.pairs import Counts, Numbers, Pairs, compare
from shared.errors import FaceNotDetected
from shared.settings import Settings
from worker.models.catalog import calibration_of
from worker.models.versions import PREPROCESSINGS, Preprocessing
from worker.vision.decode import decode
from worker.vision.service import FaceService

VERSIONS: Final[dict[str, tuple[Change, int] | None]] = {
    "as they are": None,
    **{name: CHANGES[name] for name in ("turned by 30", "turned by 90", "a quarter of the size", "JPEG quality 30")},
    "brightness x 0.3": (lambda image: brighter(image, 0.3), QUALITY),
}
FARS: Final = (1e-3, 1e-4, 1e-5)
CONFIDENCES: Final = (80, 95)
RATES: Final = (*(f"TAR at {far:g}" for far in FARS), "rank 1", *(f"refused at {level}" for level in CONFIDENCES))
QUICK_PEOPLE: Final = 100
TIMED: Final = 60
THREADS: Final = 2
NICE: Final = 5

Statistic = Callable[[Counts], Numbers]
"""Returns RATES, as parts, given how often each person is drawn."""


def vectors(service: FaceService, way: Preprocessing, photos: Sequence[bytes]) -> np.ndarray:
    """Return float32 (N, dimension), NaN where no face is found."""

    def vector(photo: bytes) -> np.ndarray | None:
        try:
            return service.embed_most_prominent(photo, way).vector
        except FaceNotDetected:
            return None

    with ThreadPoolExecutor(THREADS) as threads:
        found = list(threads.map(vector, photos))
    size = next(len(one) for one in found if one is not None)
    return np.stack([np.full(size, np.nan, np.float32) if one is None else one for one in found])


def statistic(pairs: Pairs, found: np.ndarray, people: Sequence[str]) -> Statistic:
    """Return the statistic of vectors, float32 (N, dimension), of photos of these people. pairs: of them, with
    CONFIDENCES as levels.
    """
    accepted, ranks = resampled_true_accepts(pairs, FARS), identify(found, people)

    def rates(drawn: Counts) -> Numbers:
        probes = drawn[ranks.of]
        first = probes @ (ranks.ranks <= 1) / probes.sum()
        refused = 1 - pairs.genuine_at @ drawn / (drawn @ pairs.genuine_by)
        return np.concatenate([accepted(drawn), [first], refused])

    return rates


def compared(of: Mapping[int, Statistic], people: int) -> dict[int, dict[str, Any]]:
    """Return by the version of each way its rates, and by how much they differ from those of the first way."""
    once, (first, *_) = np.ones(people, np.int64), of
    rows: dict[int, dict[str, Any]] = {}
    for way, rates in of.items():
        rows[way] = {name: percent(rate) for name, rate in zip(RATES, rates(once), strict=True)}
        if way != first:
            ends = bootstrap(lambda drawn, rates=rates: rates(drawn) - of[first](drawn), people)
            differences = rates(once) - of[first](once)
            rows[way]["difference"] = {
                name: [percent(difference), *map(percent, interval)]
                for name, difference, interval in zip(RATES, differences, ends, strict=True)
            }
    return rows


def mean_of(statistics: Sequence[Statistic]) -> Statistic:
    return lambda drawn: np.mean([rates(drawn) for rates in statistics], axis=0)


def costs(service: FaceService, photos: Sequence[bytes]) -> dict[str, dict[int, float]]:
    """Return for add and search the milliseconds of the first way, and how many more each other takes."""
    calls = {"add": service.embed_all, "search": service.embed_most_prominent}
    took: dict[str, dict[int, list[float]]] = {call: {way: [] for way in PREPROCESSINGS} for call in calls}
    for photo in photos:
        for call, embed in calls.items():
            for version, way in PREPROCESSINGS.items():
                start = time.thread_time()
                embed(photo, preprocessing=way)
                took[call][version].append((time.thread_time() - start) * 1e3)
    rows = {}
    for call, of in took.items():
        first = np.array(of[min(of)])
        more = {way: round(float(np.median(of[way] - first)), 2) for way in list(of)[1:]}
        rows[call] = {min(of): round(statistics.median(first.tolist()), 1), **more}
    return rows


def percent(part: float) -> float:
    return round(100 * float(part), 2)


def table(found: Mapping[str, Any]) -> str:
    width, heads = 20, [*RATES, *(f"FAR at {level}" for level in CONFIDENCES)]
    lines = [" " * 28 + "".join(f"{head:>{width}}" for head in heads)]
    for name, ways in found["versions"].items():
        for way, row in ways.items():
            far = [row["far"][level] for level in CONFIDENCES] if "far" in row else []
            cells = "".join(f"{value:>{width}.2f}" for value in [*(row[rate] for rate in RATES), *far])
            lines.append(f"{name:>24}{way:>4}{cells}")
            if "difference" in row:
                parts = (row["difference"][rate] for rate in RATES)
                texts = (f"{difference:+.2f} [{low:.2f}, {high:.2f}]" for difference, low, high in parts)
                lines.append(" " * 28 + "".join(f"{text:>{width}}" for text in texts))
    return "\n".join([*lines, f"milliseconds: {found['ms']}"])


def main() -> None:
    os.nice(NICE)
    parser = argparse.ArgumentParser(description="What each way of preprocessing recognises, and what it costs.")
    parser.add_argument("folder", type=Path, nargs="?", default=LFW, metavar="DIR")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    folders = sorted(path for path in options.folder.glob("*") if path.is_dir())
    paths = [path for folder in folders[: QUICK_PEOPLE if options.quick else None] for path in sorted(folder.iterdir())]
    if not paths:
        raise SystemExit(f"{options.folder} has no photos: nothing to measure on")
    pipeline, people = open_pipeline(Settings()), [path.parent.name for path in paths]
    calibration = calibration_of(pipeline.embedder)
    levels = [calibration.cosine(confidence) for confidence in CONFIDENCES]
    photos = [path.read_bytes() for path in paths]
    found: dict[str, Any] = {"photos": len(photos), "people": len(set(people)), "versions": {}}
    of_all: dict[int, list[Statistic]] = {version: [] for version in PREPROCESSINGS}
    for name, change in VERSIONS.items():
        sent = photos if change is None else [written(change[0](decode(photo)), change[1]) for photo in photos]
        pairs = {}
        for version, way in PREPROCESSINGS.items():
            seen = vectors(pipeline.service, way, sent)
            pairs[version] = compare(seen, people, levels)
            of_all[version].append(statistic(pairs[version], seen, people))
        found["versions"][name] = compared({version: of[-1] for version, of in of_all.items()}, len(set(people)))
        for version, row in found["versions"][name].items():
            reached = pairs[version].impostors_at.sum(axis=1) / 2 / pairs[version].impostor_count
            row["far"] = {
                c: round(far / STANDS_FOR[c], 2) for c, far in zip(CONFIDENCES, reached.tolist(), strict=True)
            }
    means = {version: mean_of(of) for version, of in of_all.items()}
    found["versions"]["all of them"] = compared(means, len(set(people)))
    found["ms"] = costs(pipeline.service, photos[:: max(1, len(photos) // TIMED)][:TIMED])
    print(json.dumps(found))
    print(table(found))


if __name__ == "__main__":
    main()
