"""Measure whether a face is still recognised in a changed photo, and what photos turned or without a face cost.

    PYTHONPATH=. .venv/bin/python bench/turned.py [--keep FILE] [--against FILE] [--way VERSION] [--quick]

One photo of each of 200 people of ../shared/faces/lfw (10 with --quick) is changed (bench/changed_photos.py) and
searched for: right is a confidence of at least 95 to the photo as it is. cost: of a search by kind of photo, from the
bytes to the vector or to that there is no face: median milliseconds of CPU of one thread, how many times as much that
is as a photo as it comes, and the passes over the picture and thousands of pixels that go through the detector.
recognition: TAR in percent, and rank 1, of all photos as they are.

VERSION is that of the way of preprocessing (worker/models/versions.py), by default of the one without mirror images.
FILE is a .npz of all vectors, for a comparison of two versions: vectors with a cosine below SAME_VECTOR are counted.
Prints JSON, then a table.
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

import cv2
import numpy as np
import skimage
from changed_photos import CHANGES, small_in, written
from changed_photos import scaled as resized
from photos import LFW
from recognition import Pipeline, open_pipeline

from facesearch.evaluation.metrics import identify, true_accept_rate
from facesearch.evaluation.pairs import compare
from shared.errors import FaceNotDetected
from shared.settings import Settings
from worker.models import custom, files
from worker.models.catalog import calibration_of
from worker.models.versions import PREPROCESSING_VERSION, PREPROCESSINGS, Preprocessing
from worker.vision.decode import decode
from worker.vision.geometry import rotate
from worker.vision.service import FaceService
from worker.vision.session import Session, Tensor, open_session
from worker.vision.yunet import YuNet

PEOPLE: Final = 200
QUICK_PEOPLE: Final = 10
TIMED: Final = 40
"""Photos of each kind that are timed."""
CONFIDENCE: Final = 95
FARS: Final = (1e-3, 1e-4, 1e-5)
THREADS: Final = 2
NICE: Final = 5
AS_IT_COMES: Final = "as it comes"
SAME_VECTOR: Final = 0.9999
"""Cosine from which on two vectors of one photo count as the same."""

SMALL_TURNED: Final = {
    f"{side} pixels in a large photo, turned by {degrees}": (side, degrees)
    for side, degrees in ((80, 90), (80, 180), (80, 45), (120, 270))
}
"""Longer side in pixels of an LFW photo in one of WIDE, whose face has half of that, and degrees."""

Recognize = Callable[[bytes], np.ndarray]
"""Returns float32 (dimension,), NaN without a face."""


class Counting:
    """A Session that counts inferences and pixels."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.calls = 0
        self.pixels = 0

    def run(self, tensor: Tensor) -> dict[str, Tensor]:
        self.calls += 1
        self.pixels += tensor.size // 3
        return self._session.run(tensor)


def recognizing(service: FaceService, dimension: int, way: Preprocessing) -> Recognize:
    def recognize(data: bytes) -> np.ndarray:
        try:
            return service.embed_most_prominent(data, way).vector
        except FaceNotDetected:
            return np.full(dimension, np.nan, np.float32)

    return recognize


def vectors(recognize: Recognize, photos: Sequence[bytes]) -> np.ndarray:
    """Return float32 (N, dimension), NaN where no face is found."""
    with ThreadPoolExecutor(THREADS) as threads:
        return np.stack(list(threads.map(recognize, photos)))


def changed(recognize: Recognize, photos: Sequence[bytes]) -> dict[str, np.ndarray]:
    """Return the vectors by change."""
    images = [decode(photo) for photo in photos]
    found = {AS_IT_COMES: vectors(recognize, photos)}
    for name, (change, quality) in CHANGES.items():
        found[name] = vectors(recognize, [written(change(image), quality) for image in images])
    for name, (side, degrees) in SMALL_TURNED.items():
        found[name] = vectors(recognize, [written(rotate(small_in(image, side), degrees)[0]) for image in images])
    return found


def right(found: Mapping[str, np.ndarray], confidence: Callable[[float], float]) -> dict[str, dict[str, float]]:
    """Return for each change the percent of photos that are right, and of those in which a face is found."""
    rows = {}
    for name, after in found.items():
        cosines = (found[AS_IT_COMES] * after).sum(axis=1)
        sure = [not np.isnan(one) and confidence(float(one)) >= CONFIDENCE for one in cosines]
        rows[name] = {"right": percent(np.mean(sure)), "found": percent(1 - np.isnan(after[:, 0]).mean())}
    return rows


def kinds(photos: Sequence[bytes]) -> dict[str, list[bytes]]:
    """Return the photos to time, by kind. The first kind is the one to compare with."""
    images = [decode(photo) for photo in photos[:TIMED]]
    turned = {
        f"turned by {degrees}": [written(rotate(image, degrees)[0]) for image in images]
        for degrees in (45, 90, 135, 180, 225, 270, 315)
    }
    coffee = cv2.imread(str(Path(skimage.__file__).parent / "data/coffee.png"))
    return {
        AS_IT_COMES: list(photos[:TIMED]),
        **turned,
        "small in a large photo": [written(small_in(image, 52)) for image in images],
        # A cup of coffee.
        "no face, 600 x 400": [written(coffee)] * (len(images) // 4 + 1),
        "no face, 600 x 600": [written(cv2.resize(coffee, (600, 600)))] * (len(images) // 4 + 1),
        "no face, 1,200 x 800": [written(resized(coffee, 2))] * (len(images) // 4 + 1),
    }


def costs(pipeline: Pipeline, way: Preprocessing, timed: Mapping[str, Sequence[bytes]]) -> dict[str, dict[str, float]]:
    """Return for each kind median milliseconds of CPU, their ratio to the first kind's, and means of the inferences of
    the detector and of thousands of pixels. The kinds take turns.
    """
    settings = Settings()
    detector = custom.find(settings.detector, "detection", settings.models_dir)
    counting = Counting(open_session(files.prepared_path(detector, settings.models_dir)))
    recognize = recognizing(FaceService(YuNet(counting), pipeline.arcface), pipeline.embedder.dimension, way)
    took: dict[str, list[tuple[float, int, int]]] = {kind: [] for kind in timed}
    for number in range(max(len(photos) for photos in timed.values())):
        for kind, photos in timed.items():
            if number < len(photos):
                counting.calls = counting.pixels = 0
                start = time.process_time()
                recognize(photos[number])
                took[kind].append((time.process_time() - start, counting.calls, counting.pixels))
    first = statistics.median(seconds for seconds, _, _ in took[AS_IT_COMES])
    return {
        kind: {
            "ms": round(statistics.median(seconds for seconds, _, _ in each) * 1e3, 1),
            "ratio": round(statistics.median(seconds for seconds, _, _ in each) / first, 2),
            "calls": round(statistics.mean(calls for _, calls, _ in each), 1),
            "kilopixels": round(statistics.mean(pixels for _, _, pixels in each) / 1e3),
        }
        for kind, each in took.items()
    }


def recognition(found: np.ndarray, people: Sequence[str]) -> dict[str, Any]:
    """Return what the vectors (N, dimension) of photos of these people show, in percent."""
    pairs = compare(found, people)
    return {
        "photos": len(found),
        "found": int((~np.isnan(found[:, 0])).sum()),
        **{f"tar@{far:g}": percent(true_accept_rate(pairs, far)) for far in FARS},
        "rank1": percent(identify(found, people).rate(1)),
    }


def moved(before: np.ndarray, after: np.ndarray) -> dict[str, int]:
    """Return how many photos have another vector, a face now, or none any more. Both float32 (N, dimension)."""
    was, is_now = ~np.isnan(before[:, 0]), ~np.isnan(after[:, 0])
    cosines = (before * after).sum(axis=1)
    return {
        "of": len(before),
        "another vector": int((cosines[was & is_now] < SAME_VECTOR).sum()),
        "found": int((is_now & ~was).sum()),
        "lost": int((was & ~is_now).sum()),
    }


def percent(share: float) -> float:
    return round(100 * float(share), 2)


def table(found: Mapping[str, Any]) -> str:
    lines = [f"{'':>42}{'right %':>9}{'found %':>9}"]
    lines += [f"{name:>42}{row['right']:9.1f}{row['found']:9.1f}" for name, row in found["changed"].items()]
    lines.append(f"{'':>42}{'ms':>9}{'ratio':>9}{'calls':>9}{'kilopixels':>12}")
    lines += [
        f"{kind:>42}{row['ms']:9.1f}{row['ratio']:9.2f}{row['calls']:9.1f}{row['kilopixels']:12,}"
        for kind, row in found["cost"].items()
    ]
    lines.append(f"recognition: {found['recognition']}")
    lines += [f"{name}: {row}" for name, row in found.get("moved", {}).items() if len(set(row.values()) - {0}) > 1]
    return "\n".join(lines)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Whether a face is recognised in a changed photo, and what it costs.")
    parser.add_argument("--keep", type=Path, help="write the vectors into this .npz")
    parser.add_argument("--against", type=Path, help="compare with the vectors in this .npz")
    parser.add_argument("--people", type=int, default=PEOPLE, help="how many photos are changed (%(default)s)")
    parser.add_argument("--way", type=int, choices=PREPROCESSINGS, default=PREPROCESSING_VERSION)
    parser.add_argument("--quick", action="store_true")
    return parser.parse_args()


def main() -> None:
    os.nice(NICE)
    options = arguments()
    if not LFW.is_dir():
        raise SystemExit(f"{LFW} is not there: nothing to measure on")
    pipeline = open_pipeline(Settings())
    way = PREPROCESSINGS[options.way]
    recognize = recognizing(pipeline.service, pipeline.embedder.dimension, way)
    people = sorted(LFW.glob("*/0.jpg"))
    count = QUICK_PEOPLE if options.quick else options.people
    photos = [path.read_bytes() for path in people[:: max(1, len(people) // count)][:count]]
    paths = sorted(LFW.glob("*/*.jpg"))[: 20 * QUICK_PEOPLE if options.quick else None]
    of_all = vectors(recognize, [path.read_bytes() for path in paths])
    seen = changed(recognize, photos)
    found: dict[str, Any] = {
        "people": len(photos),
        "confidence": CONFIDENCE,
        "changed": right(seen, calibration_of(pipeline.embedder).confidence),
        "cost": costs(pipeline, way, kinds(photos)),
        "recognition": recognition(of_all, [path.parent.name for path in paths]),
    }
    everything = {"all photos": of_all, **seen}
    if options.keep:
        np.savez(options.keep, **everything)
    if options.against:
        with np.load(options.against) as before:
            found["moved"] = {name: moved(before[name], after) for name, after in everything.items()}
    print(json.dumps(found))
    print(table(found))


if __name__ == "__main__":
    main()
