"""Where searching stops working as photos get worse, and what the quality gates refuse by then.

    .venv/bin/python bench/quality.py [--quick]

On the labelled photos of ../shared/faces/lfw, without which there is nothing to measure. Every third person with two
photos (every thirtieth with --quick): one photo is made worse in steps, and for each step it is told on how many a face
is seen; how many of those the gates refuse; how many photos are still like their own original, and like the other photo
of the person, at confidence 95 and 80; how many are refused although they are like their own; and how many pairs of
strangers, both made worse, are like each other, among all and among those that pass. Then what the gates refuse of all
photos as they are, how well faces are found by how far they are turned, and what judging costs. JSON, then a table.
"""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, Final

import cv2
import numpy as np
import results
from photos import LFW
from pipeline import ms
from seeing import Ours, ours

from shared.errors import FaceNotDetected
from shared.settings import Settings
from worker.models.catalog import calibrated
from worker.vision.decode import decode
from worker.vision.geometry import Image, align
from worker.vision.quality import STANDARD, STRICT, measure
from worker.vision.service import Face

PEOPLE_APART: Final = 3
QUICK_APART: Final = 30
CONFIDENCES: Final = (95, 80)
TURNED: Final = (0, 10, 20, 30, 40, 50, 90)
"""Degrees between which faces are counted together."""

Worsen = Callable[[Image, float, float], bytes]
"""(photo, side of its face in pixels, step) to a file."""


def png(image: np.ndarray) -> bytes:
    return bytes(cv2.imencode(".png", image)[1])


def jpeg(image: np.ndarray, quality: int) -> bytes:
    return bytes(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1])


def gaussian(image: Image, _side: float, sigma: float) -> bytes:
    return png(cv2.GaussianBlur(image, (0, 0), sigma))


def box(image: Image, _side: float, size: float) -> bytes:
    return png(cv2.blur(image, (int(size), int(size))))


def motion(image: Image, _side: float, length: float) -> bytes:
    """Along a diagonal."""
    return png(cv2.filter2D(image, -1, np.eye(int(length), dtype=np.float32)[::-1] / np.float32(length)))


def smaller(image: Image, side: float, size: float) -> np.ndarray:
    return np.asarray(cv2.resize(image, None, fx=size / side, fy=size / side, interpolation=cv2.INTER_AREA))


def scaled(values: np.ndarray, by: float, around: float = 0.0) -> bytes:
    return png(np.clip((values.astype(np.float32) - around) * by + around + 0.5, 0, 255).astype(np.uint8))


STEPS: Final[Mapping[str, tuple[Worsen, Sequence[float]]]] = {
    "as it is": (lambda image, _side, _step: png(image), (0,)),
    "gaussian blur, sigma": (gaussian, (1, 2, 3, 4, 5, 6, 8, 10)),
    "box blur, pixels": (box, (9, 13, 17, 21, 25)),
    "motion blur, pixels": (motion, (9, 15, 21)),
    "side of the face": (lambda image, side, size: png(smaller(image, side, size)), (64, 48, 32, 24, 20, 16)),
    "side, JPEG 80": (lambda image, side, size: jpeg(smaller(image, side, size), 80), (64, 48, 32, 24, 20, 16)),
    "side, JPEG 50": (lambda image, side, size: jpeg(smaller(image, side, size), 50), (64, 48, 32, 24, 20, 16)),
    "brightness, times": (lambda image, _side, by: scaled(image, by), (0.05, 0.1, 0.2, 0.5, 1.5, 2, 2.5, 3, 4)),
    "contrast, times": (lambda image, _side, by: scaled(image, by, 128), (0.1, 0.2, 0.5, 2, 4)),
    "JPEG quality": (lambda image, _side, quality: jpeg(image, int(quality)), (5, 10, 20, 30)),
}
"""In pixels of photos of 250 x 250, where a face has a side of about 110."""


@dataclass(frozen=True)
class Photo:
    """One to be made worse, and how both it and another one of the person are described."""

    image: Image
    own: Face
    other: Face


def seen(pipeline: Ours, data: bytes) -> Face | None:
    try:
        return pipeline.service.describe_prominent(data)
    except FaceNotDetected:
        return None


def step(pipeline: Ours, pool: ThreadPoolExecutor, photos: Sequence[Photo], worsen: Worsen, level: float) -> Any:
    """All that is told of one step. Parts are of the photos, but standard and strict, of the faces seen."""

    def worse(photo: Photo) -> Face | None:
        return seen(pipeline, worsen(photo.image, photo.own.quality.size, level))

    pairs = [(face, photo) for face, photo in zip(pool.map(worse, photos), photos, strict=True) if face is not None]
    faces = [face for face, _ in pairs]
    own = np.array([face.vector @ photo.own.vector for face, photo in pairs])
    other = np.array([face.vector @ photo.other.vector for face, photo in pairs])
    standard, strict = (
        np.array([gate.flaw(f.quality) is not None for f in faces], bool) for gate in (STANDARD, STRICT)
    )
    found: dict[str, Any] = {
        "level": level,
        "seen": part(len(faces), len(photos)),
        "standard": part(standard.sum(), len(faces)),
        "strict": part(strict.sum(), len(faces)),
    }
    cosine = calibrated(pipeline.embedder).cosine
    for name, cosines in (("own", own), ("other", other)):
        found |= {f"{name}_{least}": part((cosines >= cosine(least)).sum(), len(photos)) for least in CONFIDENCES}
    found["refused_though_own_95"] = part((standard & (own >= cosine(95))).sum(), len(photos))
    for name, which in (("strangers", np.ones(len(faces), bool)), ("strangers_passed", ~standard)):
        vectors = np.array([face.vector for face, goes in zip(faces, which, strict=True) if goes])
        alike = (vectors @ vectors.T)[np.triu_indices(len(vectors), 1)] if len(vectors) else np.empty(0)
        found |= {f"{name}_{least}": part((alike >= cosine(least)).sum(), len(alike), 5) for least in CONFIDENCES}
    return found


def part(some: int, of_all: int, digits: int = 3) -> float | None:
    """None of nothing."""
    return round(int(some) / of_all, digits) if of_all else None


def untouched(faces: Sequence[Face]) -> dict[str, Any]:
    """What the gates refuse of photos as they are, and between what their qualities lie."""
    qualities = [face.quality for face in faces]
    ranges = {
        name: [round(float(value), 3) for value in np.percentile([getattr(q, name) for q in qualities], (0, 50, 100))]
        for name in ("size", "sharpness", "dark", "bright", "yaw", "pitch")
    }
    refused = {
        name: {str(flaw): sum(gate.flaw(q) is flaw for q in qualities) for flaw in {*map(gate.flaw, qualities)} if flaw}
        for name, gate in (("standard", STANDARD), ("strict", STRICT))
    }
    return {"photos": len(faces), "refused": refused, "least_median_most": ranges}


def turned(pipeline: Ours, people: Sequence[str], faces: Sequence[Face]) -> list[dict[str, Any]]:
    """How many photos of the same person are like a face that is turned so far."""
    vectors, names = np.array([face.vector for face in faces]), np.array(people)
    same = (names[:, None] == names) & ~np.eye(len(names), dtype=bool)
    cosines, yaw = vectors @ vectors.T, np.abs([face.quality.yaw for face in faces])
    rows = []
    for low, high in pairwise(TURNED):
        which = (yaw >= low) & (yaw < high)
        genuine = cosines[which][same[which]]
        limits = {str(least): calibrated(pipeline.embedder).cosine(least) for least in CONFIDENCES}
        like = {f"other_{least}": part((genuine >= cosine).sum(), len(genuine)) for least, cosine in limits.items()}
        rows.append({"yaw": [low, high], "photos": int(which.sum()), "pairs": len(genuine), **like})
    return rows


def cost(data: bytes, face: Face) -> float:
    """Milliseconds of judging one face."""
    crop = align(decode(data), face.detection.landmarks)
    return ms(lambda: STANDARD.flaw(measure(face.detection, crop, 1)), 500)


def measured(pipeline: Ours, apart: int, pool: ThreadPoolExecutor) -> dict[str, Any]:
    paths = sorted(LFW.glob("*/*.jpg"))
    several = {path.parent for path in paths if path.name == "1.jpg"}
    chosen = sorted(several)[::apart]
    wanted = paths if apart == PEOPLE_APART else [folder / name for folder in chosen for name in ("0.jpg", "1.jpg")]
    faces = pool.map(lambda path: pipeline.service.describe_prominent(path.read_bytes()), wanted)
    described = dict(zip(wanted, faces, strict=True))
    photos = [
        Photo(decode((folder / "1.jpg").read_bytes()), described[folder / "1.jpg"], described[folder / "0.jpg"])
        for folder in chosen
    ]
    work = partial(step, pipeline, pool, photos)
    return {
        "ms_a_face": cost(wanted[0].read_bytes(), described[wanted[0]]),
        "untouched": untouched(list(described.values())),
        "worse_photos": len(photos),
        "steps": {kind: [work(worsen, level) for level in levels] for kind, (worsen, levels) in STEPS.items()},
        "turned": turned(pipeline, [path.parent.name for path in described], list(described.values())),
    }


def show(found: Mapping[str, Any]) -> None:
    columns = ("seen", "standard", "strict", "own_95", "own_80", "other_95", "other_80", "refused_though_own_95")
    wide = ("strangers_95", "strangers_passed_95")
    print(f"{'':28}{'seen':>7}{'standard':>9}{'strict':>8}{'own 95':>8}{'80':>7}{'other 95':>9}{'80':>7}", end="")
    print(f"{'wrongly':>9}{'strangers 95':>14}{'passed':>8}")
    for kind, rows in found["steps"].items():
        for row in rows:
            shown = [percent(row[name]) for name in columns] + [percent(row[name], 2) for name in wide]
            widths = (7, 9, 8, 8, 7, 9, 7, 9, 14, 8)
            texts = (f"{text:>{width}}" for text, width in zip(shown, widths, strict=True))
            print(f"{kind:>22} {row['level']:<5g}", *texts, sep="")
    for row in found["turned"]:
        low, high = row["yaw"]
        shares = f"95 {percent(row['other_95'])}, 80 {percent(row['other_80'])}"
        print(
            f"turned by {low} to {high} degrees: {row['photos']} photos, {row['pairs']} pairs of one person: {shares}"
        )
    print(f"of {found['untouched']['photos']} photos as they are refused: {found['untouched']['refused']}")
    print(f"{found['ms_a_face']} ms a face")


def percent(value: float | None, digits: int = 1) -> str:
    return "-" if value is None else f"{100 * value:.{digits}f}"


def main() -> None:
    if not LFW.is_dir():
        sys.exit(f"{LFW} is not there: nothing to measure")
    with ThreadPoolExecutor(Settings().threads) as pool:
        found = measured(ours(Settings()), QUICK_APART if results.is_quick() else PEOPLE_APART, pool)
    print(json.dumps(found))
    results.keep("quality", found)
    show(found)


if __name__ == "__main__":
    main()
