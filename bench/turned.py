"""Whether a face is still found when its photo is turned, tilted, smaller or darker, on ../shared/faces/lfw.

    .venv/bin/python bench/turned.py [--quick]

Prints JSON and a table, and keeps the JSON. A photo of each of 200 people (20 with --quick) is changed and searched
for, and is right with a confidence of at least 95 to itself as it comes. "without" is the same pipeline that looks at a
photo as it comes alone, at 320 and 640 pixels. cost: milliseconds of one thread from
the bytes to the vector, or to that there is no face, both by turns. recognition: of all photos as they come.
"""

import json
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import results
import skimage
from photos import LFW
from seeing import Ours, ours

from facesearch.evaluation.metrics import identify, true_accepts
from shared.errors import FaceNotDetected
from shared.settings import Settings
from worker.models.catalog import calibrated
from worker.vision.decode import decode
from worker.vision.geometry import align, turned
from worker.vision.passes import LEAST_SCORE, TURNS, Look

PEOPLE: Final = 200
TIMED: Final = 40
"""So many photos of each kind are timed."""
CONFIDENCE: Final = 95
FARS: Final = (1e-3, 1e-4, 1e-5)
QUALITY: Final = 95
"""Of the JPEG that a changed photo is written as."""
WIDE: Final = (1200, 900)
"""Pixels of a photo with one small face."""

See = Callable[[bytes], np.ndarray]
"""float32 (dimension,). Raises FaceNotDetected."""

Change = Callable[[np.ndarray], np.ndarray]


def plain(pipeline: Ours) -> See:
    """Without what this measures: as it comes, at two sizes."""

    def see(data: bytes) -> np.ndarray:
        image = decode(data)
        face = Look(pipeline.yunet, image, LEAST_SCORE).prominent()
        if face is None:
            raise FaceNotDetected
        return np.asarray(pipeline.arcface.embed(align(image, face.landmarks)[None])[0])

    return see


def whole(pipeline: Ours) -> See:
    return lambda data: pipeline.service.describe_prominent(data).vector


def askew(image: np.ndarray, degrees: float) -> np.ndarray:
    """As a phone held askew takes it: what turns out of the picture is cut off, what turns in is black."""
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1)
    return np.asarray(cv2.warpAffine(image, matrix, (width, height)))


def scaled(image: np.ndarray, factor: float) -> np.ndarray:
    return np.asarray(cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA))


def brighter(image: np.ndarray, factor: float) -> np.ndarray:
    return np.asarray(np.clip(image * factor, 0, 255).astype(np.uint8))


def small_in(image: np.ndarray, side: int) -> np.ndarray:
    """The photo, `side` pixels large, in one of WIDE that is a blurred surface elsewhere."""
    background = cv2.GaussianBlur(cv2.resize(image[:40, :40], WIDE, interpolation=cv2.INTER_CUBIC), (0, 0), 25)
    part = scaled(image, side / max(image.shape[:2]))
    background[300 : 300 + part.shape[0], 600 : 600 + part.shape[1]] = part
    return np.asarray(background)


def _turn(degrees: int) -> Change:
    return lambda image: turned(image, degrees)[0]


CHANGES: Final[dict[str, tuple[Change, int]]] = {
    **{f"turned by {degrees}": (_turn(degrees), QUALITY) for degrees in range(15, 360, 15)},
    "held askew by 30": (lambda image: askew(image, 30), QUALITY),
    "held askew by 45": (lambda image: askew(image, 45), QUALITY),
    "half the size": (lambda image: scaled(image, 0.5), QUALITY),
    "a quarter of the size": (lambda image: scaled(image, 0.25), QUALITY),
    "JPEG quality 30": (lambda image: image, 30),
    "brightness x 0.5": (lambda image: brighter(image, 0.5), QUALITY),
    "brightness x 1.5": (lambda image: brighter(image, 1.5), QUALITY),
    "mirrored": (lambda image: image[:, ::-1], QUALITY),
    "small in a large photo": (lambda image: small_in(image, 52), QUALITY),
}


def written(image: np.ndarray, quality: int = QUALITY) -> bytes:
    return bytes(cv2.imencode(".jpg", np.ascontiguousarray(image), [cv2.IMWRITE_JPEG_QUALITY, quality])[1])


def vectors(see: See, photos: Sequence[bytes], dimension: int) -> np.ndarray:
    """(N, dimension), NaN where no face is found."""

    def seen(data: bytes) -> np.ndarray:
        try:
            return see(data)
        except FaceNotDetected:
            return np.full(dimension, np.nan, np.float32)

    with ThreadPoolExecutor() as threads:
        return np.stack(list(threads.map(seen, photos)))


def changed(pipeline: Ours, photos: Sequence[bytes]) -> dict[str, dict[str, float]]:
    """For each change, percent that are right, with and without, and percent in which a face is found."""
    calibration, dimension = calibrated(pipeline.embedder), pipeline.embedder.dimension
    ways = {"with": whole(pipeline), "without": plain(pipeline)}
    before = {name: vectors(see, photos, dimension) for name, see in ways.items()}
    images = [decode(photo) for photo in photos]
    rows: dict[str, dict[str, float]] = {}
    for name, (change, quality) in CHANGES.items():
        after = [written(change(image), quality) for image in images]
        rows[name] = {}
        for way, see in ways.items():
            cosines = (before[way] * vectors(see, after, dimension)).sum(axis=1)
            right = [not np.isnan(one) and calibration.confidence(float(one)) >= CONFIDENCE for one in cosines]
            rows[name][way] = percent(np.mean(right))
            rows[name][f"found_{way}"] = percent(1 - np.isnan(cosines).mean())
    return rows


def costs(pipeline: Ours, photos: Sequence[bytes]) -> dict[str, dict[str, float]]:
    """Median milliseconds of each kind of photo, with and without."""
    images = [decode(photo) for photo in photos[:TIMED]]
    kinds = {
        "as it comes": list(photos[:TIMED]),
        "turned by 90": [written(np.rot90(image)) for image in images],
        "turned by 180": [written(np.rot90(image, 2)) for image in images],
        "tilted by 45": [written(turned(image, 45)[0]) for image in images],
        "small in a large photo": [written(small_in(image, 52)) for image in images],
        "without a face, 600 x 400": [faceless()] * TIMED,
        "without a face, 1200 x 800": [written(scaled(decode(faceless()), 2))] * TIMED,
    }
    ways = {"with": whole(pipeline), "without": plain(pipeline)}
    found: dict[str, dict[str, float]] = {}
    for kind, data in kinds.items():
        took: dict[str, list[float]] = {way: [] for way in ways}
        for one in data:
            for way, see in ways.items():
                start = time.perf_counter()
                is_seen(see, one)
                took[way].append(time.perf_counter() - start)
        found[kind] = {way: round(statistics.median(times) * 1e3, 1) for way, times in took.items()}
    return found


def is_seen(see: See, data: bytes) -> bool:
    """Whether a face is found."""
    try:
        see(data)
    except FaceNotDetected:
        return False
    return True


def recognition(pipeline: Ours, paths: Sequence[Path]) -> dict[str, Any]:
    """Of all photos, in percent; and how many of 1,000 photos are looked at another way up."""
    people = [path.parent.name for path in paths]
    photos = [path.read_bytes() for path in paths]
    rows: dict[str, Any] = {}
    for way, see in {"with": whole(pipeline), "without": plain(pipeline)}.items():
        found = vectors(see, photos, pipeline.embedder.dimension)
        rows[way] = {
            "found": int((~np.isnan(found[:, 0])).sum()),
            **{f"tar@{far:g}": percent(tar) for far, tar in true_accepts(found, people, FARS).items()},
            "rank1": percent(identify(found, people).rate(1)),
        }
    return {"photos": len(paths), **rows, "turned_per_1000": round(1000 * float(np.mean(retried(pipeline, photos))), 1)}


def retried(pipeline: Ours, photos: Sequence[bytes]) -> list[bool]:
    """Whether a search looks at a photo more often than twice."""

    def many(data: bytes) -> bool:
        upright = Look(pipeline.yunet, decode(data), LEAST_SCORE)
        return upright.score < max(turn.below for turn in TURNS)

    with ThreadPoolExecutor() as threads:
        return list(threads.map(many, photos))


def faceless() -> bytes:
    """A cup of coffee."""
    return written(cv2.imread(str(Path(skimage.__file__).parent / "data/coffee.png")))


def percent(share: float) -> float:
    return round(100 * float(share), 2)


def table(found: dict[str, Any]) -> str:
    lines = [f"{'':>24}{'right %':>9}{'without':>9}{'found %':>9}{'without':>9}"]
    for name, row in found["changed"].items():
        lines.append(
            f"{name:>24}{row['with']:9.1f}{row['without']:9.1f}{row['found_with']:9.1f}{row['found_without']:9.1f}"
        )
    lines.append(f"{'':>28}{'ms':>9}{'without':>9}")
    lines.extend(f"{kind:>28}{row['with']:9.1f}{row['without']:9.1f}" for kind, row in found["cost_ms"].items())
    lines.extend(f"{way:>12}: {found['recognition'][way]}" for way in ("with", "without"))
    lines.append(f"looked at another way up: {found['recognition']['turned_per_1000']} of 1,000 photos")
    return "\n".join(lines)


def main() -> None:
    if not LFW.is_dir():
        print(f"{LFW} is not there: nothing to measure on")
        return
    quick = results.is_quick()
    pipeline = ours(Settings())
    people = sorted(LFW.glob("*/0.jpg"))
    some = people[:: max(1, len(people) // PEOPLE)][: PEOPLE // 10 if quick else PEOPLE]
    photos = [path.read_bytes() for path in some]
    found = {
        "people": len(photos),
        "confidence": CONFIDENCE,
        "changed": changed(pipeline, photos),
        "cost_ms": costs(pipeline, photos),
        "recognition": recognition(pipeline, sorted(LFW.glob("*/*.jpg"))[: 200 if quick else None]),
    }
    results.keep("turned", found)
    print(json.dumps(found))
    print(table(found))


if __name__ == "__main__":
    main()
