"""Count false detections, by search and by add, and check that true faces are still detected.

    PYTHONPATH=. .venv/bin/python bench/faceless.py [--folder FOLDER] [--score SCORE] [--only TEXT] [--no-photos]
        [--against CSV] [--quick]

FOLDER is the output of bench/negatives.py. SCORE replaces the least score of the settings, to show near misses. TEXT:
only pictures with it in their path. CSV: a seen.csv of an earlier run, with which the detections on photos of
../shared/faces/lfw are compared: all of them as they are, and each in some of the changes of bench/changed_photos.py.
--quick: every fortieth picture and photo.

Prints JSON and a table. Writes to FOLDER: false_faces.csv (each face: picture, call, score, side of its pass, whether
the pass was rotated, roll in degrees, box and landmarks in pixels), sheets/ (the pictures with these faces marked) and
seen.csv (each photo, change and score; 0 without a face).
"""

import argparse
import csv
import json
import os
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from changed_photos import CHANGES, QUALITY, written
from negatives import FOLDER
from photos import LFW
from recognition import open_pipeline

from shared.errors import FaceNotDetected, ImageUnreadable
from shared.settings import Settings
from worker.vision.decode import decode
from worker.vision.geometry import Detection, Pixels, roll
from worker.vision.service import Detector, FaceService

THREADS: Final = 2
NICE: Final = 10
APART: Final = 8
"""Each change is applied to one photo in this many, each change to others."""
QUICK_APART: Final = 40

TILE: Final = 220
"""Side in pixels of a picture on a sheet; its caption is below."""
CAPTION: Final = 20
COLUMNS, ROWS = 8, 5

AS_IT_COMES: Final = "as it comes"


@dataclass(frozen=True)
class Pass:
    """A detection pass. turned: whether the picture was rotated, or a tile of it."""

    side: int
    turned: bool


class Recording:
    """A Detector that records the pass of each score. Each thread processes one picture at a time."""

    def __init__(self, detector: Any) -> None:
        self._detector = detector
        self._local = threading.local()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._detector, name)

    def detect(self, image: Pixels, side: int) -> list[Detection]:
        found: list[Detection] = self._detector.detect(image, side)
        as_it_comes = np.array_equal(image, self._local.image)
        for face in found:
            self._local.passes.setdefault(face.score, Pass(side, not as_it_comes))
        return found

    def begin(self, image: Pixels) -> None:
        """Begin a new image: later detections belong to it."""
        self._local.passes = {}
        self._local.image = image

    def where(self, face: Detection) -> Pass | None:
        """Return the pass of a face; None if the detector did not give its score."""
        found: Pass | None = self._local.passes.get(face.score)
        return found


@dataclass(frozen=True)
class FalseFace:
    """A face detected in a picture without one. file: in FOLDER. call: search or add."""

    file: str
    package: str
    call: str
    face: Detection
    seen: Pass | None

    def row(self) -> Sequence[Any]:
        side, turned = (self.seen.side, int(self.seen.turned)) if self.seen else ("", "")
        box = (round(value, 1) for value in self.face.box)
        points = (round(value, 1) for value in self.face.landmarks.reshape(-1).tolist())
        score, degrees = round(self.face.score, 4), round(roll(self.face.landmarks))
        return (self.file, self.package, self.call, score, side, turned, degrees, *box, *points)


HEAD: Final = (
    *("file", "package", "call", "score", "side", "turned", "roll", "x", "y", "width", "height"),
    *(f"{point}_{axis}" for point in ("right_eye", "left_eye", "nose", "right_mouth", "left_mouth") for axis in "xy"),
)


@dataclass(frozen=True)
class Bench:
    """A face service, and the record of its detection passes."""

    service: FaceService
    recording: Recording

    def faces(self, file: str, package: str, data: bytes) -> list[FalseFace] | None:
        """Return the faces of one picture by either call; None if it cannot be read."""
        try:
            image = decode(data)
        except ImageUnreadable:
            return None
        found = []
        for call, describe in (("search", self._searched), ("add", self.service.embed_all)):
            self.recording.begin(image)
            try:
                faces = describe(data)
            except FaceNotDetected:
                continue
            found += [
                FalseFace(file, package, call, face.detection, self.recording.where(face.detection)) for face in faces
            ]
        return found

    def _searched(self, data: bytes) -> list[Any]:
        return [self.service.embed_most_prominent(data)]

    def score(self, data: bytes) -> float:
        """Return the score of the most prominent face, 0 without one."""
        self.recording.begin(decode(data))
        try:
            return self.service.embed_most_prominent(data).detection.score
        except FaceNotDetected:
            return 0.0


def bench(settings: Settings) -> Bench:
    parts = open_pipeline(settings)
    recording = Recording(parts.yunet)
    detector: Detector = recording
    return Bench(FaceService(detector, parts.arcface), recording)


def pictures(folder: Path, only: str, step: int) -> list[tuple[str, str]]:
    """Return (file, package) of the collected pictures. Raises FileNotFoundError if there are none."""
    with (folder / "manifest.csv").open(newline="") as file:
        rows = [(row["file"], row["package"]) for row in csv.DictReader(file) if only in row["path"] + row["file"]]
    return rows[::step]


def false_faces(bench: Bench, folder: Path, rows: Sequence[tuple[str, str]]) -> tuple[list[FalseFace], dict[str, Any]]:
    """Return every false face, and the counts by package."""
    with ThreadPoolExecutor(THREADS) as threads:
        seen = list(threads.map(lambda row: bench.faces(*row, (folder / row[0]).read_bytes()), rows))
    unread = [file for (file, _), faces in zip(rows, seen, strict=True) if faces is None]
    found = [face for faces in seen for face in faces or []]
    packages = Counter(package for _, package in rows)
    by_package = {
        package: {"pictures": count, **{call: len(with_face(found, call, package)) for call in ("search", "add")}}
        for package, count in sorted(packages.items())
    }
    total = {call: len(with_face(found, call)) for call in ("search", "add")}
    return found, {
        "pictures": len(rows),
        "unread": len(unread),
        "pictures_with_a_face": total,
        "faces": dict(Counter(face.call for face in found)),
        "per_3000": {call: round(3000 * count / max(1, len(rows)), 2) for call, count in total.items()},
        "turned": dict(
            Counter(f"{face.call} {'turned' if face.seen.turned else 'upright'}" for face in found if face.seen)
        ),
        "best_score": round(max((face.face.score for face in found), default=0.0), 4),
        "by_package": {name: row for name, row in by_package.items() if row["search"] or row["add"]},
    }


def with_face(found: Iterable[FalseFace], call: str, package: str | None = None) -> set[str]:
    """Return the files in which a call detects a face."""
    return {face.file for face in found if face.call == call and package in {None, face.package}}


def kept_faces(folder: Path, found: Iterable[FalseFace]) -> None:
    with (folder / "false_faces.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(HEAD)
        table.writerows(face.row() for face in found)


def sheets(folder: Path, found: Sequence[FalseFace]) -> int:
    """Draw each picture with its false faces, best score first. Returns the number of sheets."""
    target = folder / "sheets"
    target.mkdir(exist_ok=True)
    for old in target.glob("*.png"):
        old.unlink()
    by_file: dict[str, list[FalseFace]] = {}
    for face in sorted(found, key=lambda one: -one.face.score):
        by_file.setdefault(face.file, []).append(face)
    tiles = [tile(folder / file, faces) for file, faces in by_file.items()]
    at_once = COLUMNS * ROWS
    for number, first in enumerate(range(0, len(tiles), at_once)):
        some = tiles[first : first + at_once]
        some += [np.zeros_like(tiles[0])] * (-len(some) % COLUMNS)
        rows = [np.hstack(some[start : start + COLUMNS]) for start in range(0, len(some), COLUMNS)]
        cv2.imwrite(str(target / f"{number:03}.png"), np.vstack(rows))
    return -(-len(tiles) // at_once)


def tile(path: Path, faces: Sequence[FalseFace]) -> np.ndarray:
    """Return uint8 (TILE + CAPTION, TILE, 3)."""
    image = decode(path.read_bytes())
    factor = TILE / max(image.shape[:2])
    small = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)[:TILE, :TILE]
    drawn = np.full((TILE + CAPTION, TILE, 3), 60, np.uint8)
    drawn[: small.shape[0], : small.shape[1]] = small
    for face in faces:
        x, y, width, height = (round(value * factor) for value in face.face.box)
        cv2.rectangle(
            drawn, (x, y), (x + width, y + height), (0, 0, 255) if face.call == "search" else (255, 128, 0), 1
        )
        for point in face.face.landmarks * factor:
            cv2.circle(drawn, (round(float(point[0])), round(float(point[1]))), 1, (0, 255, 0), -1)
    drawn[TILE:] = 0
    caption = f"{path.stem} {faces[0].face.score:.2f} {round(roll(faces[0].face.landmarks))}"
    cv2.putText(drawn, caption, (2, TILE + 14), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (255, 255, 255), 1, cv2.LINE_AA)
    return drawn


def changed_photos(step: int) -> Iterator[tuple[str, str, bytes]]:
    """Yield (photo, change, file): every step-th photo as it is, and in some of the changes."""
    for number, path in enumerate(sorted(LFW.glob("*/*.jpg"))[::step]):
        name, data = path.relative_to(LFW).as_posix(), path.read_bytes()
        yield name, AS_IT_COMES, data
        for way, (change, (alter, quality)) in enumerate(CHANGES.items()):
            if (number + way) % APART == 0:
                yield name, change, written(alter(decode(data)), quality or QUALITY)


def true_faces(bench: Bench, step: int) -> dict[tuple[str, str], float]:
    """Return the score of each (photo, change), 0 without a face."""

    def seen(one: tuple[str, str, bytes]) -> tuple[tuple[str, str], float]:
        name, change, data = one
        return (name, change), bench.score(data)

    with ThreadPoolExecutor(THREADS) as threads:
        return dict(threads.map(seen, changed_photos(step)))


def lost(before: dict[tuple[str, str], float], after: dict[tuple[str, str], float]) -> list[tuple[str, str]]:
    """Return the photos with a face before and none now."""
    return [key for key, score in after.items() if not score and before.get(key, 0)]


def read_seen(path: Path) -> dict[tuple[str, str], float]:
    with path.open(newline="") as file:
        return {(row["photo"], row["change"]): float(row["score"]) for row in csv.DictReader(file)}


def write_seen(path: Path, seen: dict[tuple[str, str], float]) -> None:
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(("photo", "change", "score"))
        table.writerows((photo, change, round(score, 4)) for (photo, change), score in seen.items())


def seen_by_change(seen: dict[tuple[str, str], float]) -> dict[str, dict[str, int]]:
    changes = Counter(change for _, change in seen)
    return {
        change: {"photos": count, "found": sum(1 for (_, way), score in seen.items() if way == change and score)}
        for change, count in changes.items()
    }


def table(found: dict[str, Any]) -> str:
    lines = [f"{'':>28}{'pictures':>9}{'search':>8}{'add':>8}"]
    rows = {
        **found["false"]["by_package"],
        "all": {"pictures": found["false"]["pictures"], **found["false"]["pictures_with_a_face"]},
    }
    lines += [f"{name:>28}{row['pictures']:9}{row['search']:8}{row['add']:8}" for name, row in rows.items()]
    if "true" in found:
        lines.append(f"{'':>28}{'photos':>9}{'found':>8}")
        lines += [f"{name:>28}{row['photos']:9}{row['found']:8}" for name, row in found["true"].items()]
    if "lost" in found:
        lines.append(f"lost: {found['lost']['count']} of {found['lost']['of']}")
    return "\n".join(lines)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="How often a face is seen where none is.")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--score", type=float)
    parser.add_argument("--only", default="")
    parser.add_argument("--against", type=Path)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--no-photos", action="store_true", help="leave out the photos with a face")
    return parser.parse_args()


def main() -> None:
    os.nice(NICE)
    options = arguments()
    settings = Settings(detection_score=options.score) if options.score else Settings()
    service = bench(settings)
    try:
        rows = pictures(options.folder, options.only, QUICK_APART if options.quick else 1)
    except FileNotFoundError:
        raise SystemExit(f"nothing is in {options.folder}: run bench/negatives.py first") from None
    faces, false = false_faces(service, options.folder, rows)
    kept_faces(options.folder, faces)
    sheets(options.folder, faces)
    found: dict[str, Any] = {"score": settings.detection_score, "false": false}
    if LFW.is_dir() and not options.no_photos:
        seen = true_faces(service, QUICK_APART if options.quick else 1)
        write_seen(options.folder / "seen.csv", seen)
        found["true"] = seen_by_change(seen)
        if options.against:
            gone = lost(read_seen(options.against), seen)
            found["lost"] = {"count": len(gone), "of": len(seen), "photos": gone[:100]}
    print(json.dumps(found))
    print(table(found))


if __name__ == "__main__":
    main()
