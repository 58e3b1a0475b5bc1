"""What a deleted person leaves in the files of the embedded store, and when it is gone.

    .venv/bin/python bench/remains.py [--quick]

Facedbs of 1,000, 30,000 and 100,000 persons (from 25,000 on there are int8 copies of the vectors). One person of one
face and one of three are deleted; all files are searched for the bytes of their vectors in each form in which the
store keeps them, their names, external ids, metadata and ids: before; after the deletion; after up to 5,000 other
changes without an erasure; and after a compaction, as `facesearch erase --now` makes. Fails if that leaves anything.
Prints JSON, then a table. --quick: 1,000 persons.
"""

import base64
import json
import shutil
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import numpy as np
import results
from made_up_faces import DIMENSION, LikeSface

from worker.models.identity import Identity
from worker.store.base import Face, Point, Vector
from worker.store.edge.store import EdgeStore
from worker.store.faces import with_faces

OURS: Final = Identity("bench", "0" * 64, 1, DIMENSION)
SIZES: Final = (1_000, 30_000, 100_000)
QUICK: Final = (1_000,)
BATCH: Final = 500
MOST_CHANGES: Final = 5_000
FLUSHED_S: Final = 1.2
"""Seconds after which the store has synced its log."""
NOW: Final = 1_790_000_000_000_000
DB: Final = "bench"

Traces = Mapping[str, list[bytes]]
"""Byte strings that show what is left, by kind."""


class Gallery:
    """A facedb. vectors: those of persons to come."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = EdgeStore(folder, OURS, open_limit=2)
        self._batches = LikeSface().batches(BATCH)
        self._count = 0

    def grow(self, count: int) -> None:
        """Add this many persons, BATCH at once at most."""
        vectors = next(self._batches)[:count]
        for vector in vectors:
            self._count += 1
            one = Point(uuid.uuid4(), f"ID{self._count}", vector, NOW + self._count, f"customer-{self._count}")
            self.store.add(DB, [one])

    def fill(self, count: int) -> None:
        for _ in range(0, count, BATCH):
            vectors = next(self._batches)
            self._count += BATCH
            ids = (uuid.uuid4() for _ in vectors)
            self.store.add(DB, [Point(one, f"ID{one.hex}", v, NOW) for one, v in zip(ids, vectors, strict=True)])

    def leaving(self) -> list[Point]:
        """Return two persons as they are stored: one of one face, and one of three."""
        first, *three = next(self._batches)[:4]
        faces = [Face(uuid.uuid4(), vector, NOW + place) for place, vector in enumerate(three)]
        one = Point(uuid.uuid4(), "Zebedeus4711", first, NOW, "zebedeus-4711", {"floor": "Zwischengeschoss4711"})
        several = Point(uuid.uuid4(), "Melchiades4712", three[0], NOW, "melchiades-4712", {"room": "Abseite4712"})
        self.store.add(DB, [one, with_faces(several, faces)])
        return self.store.get(DB, [one.person_id, several.person_id])


def traces(points: list[Point]) -> Traces:
    """Return what is looked for. A part of each vector is enough, as no other has it."""
    vectors = [point.vector for point in points]
    several = [point for point in points if len(point.faces) > 1]
    packed = [b"".join(face.vector.astype("<f4").tobytes() for face in point.faces) for point in several]
    return {
        "vector": [vector.astype("<f4").tobytes()[128:192] for vector in vectors],
        "vector, CBOR": [_cbor(vector) for vector in vectors],
        "vector, float16": [vector.astype("<f2").tobytes()[64:96] for vector in vectors],
        "vectors of faces": [base64.b64encode(one)[200:264] for one in packed],
        "name": [point.name.encode() for point in points],
        "external id": [(point.external_id or "").encode() for point in points],
        "metadata": [b"Zwischengeschoss4711", b"Abseite4712"],
        "person_id": [form for point in points for form in _forms(point.person_id)],
        "face_id": [str(face.face_id).encode() for point in several for face in point.faces],
    }


def _cbor(vector: Vector) -> bytes:
    """Return a part of a vector as the engine's log has it: big-endian, each number after a byte for its type."""
    numbers = vector.astype(">f4").tobytes()
    return b"".join(b"\xfa" + numbers[begin : begin + 4] for begin in range(160, 240, 4))


def _forms(one: uuid.UUID) -> tuple[bytes, ...]:
    return one.bytes, one.bytes[::-1], str(one).encode()


def int8(folder: Path, vectors: list[Vector]) -> list[bytes]:
    """Return the vectors as the engine's int8 copies in this folder have them."""
    found = []
    for path in folder.rglob("quantized.meta.json"):
        about = json.loads(path.read_text())
        scale, offset = np.float32(about["alpha"]), np.float32(about["offset"])
        found += [np.round(np.clip((vector - offset) / scale, 0, 127)).astype("u1").tobytes() for vector in vectors]
    return found


def left(folder: Path, points: list[Point], wanted: Traces) -> dict[str, list[str]]:
    """Return where there are bytes of each kind: log, segment or elsewhere. Kinds that are nowhere are left out."""
    kinds = {**wanted, "vector, int8": int8(folder, [point.vector for point in points])}
    found: dict[str, set[str]] = {}
    for place, held in _files(folder):
        for kind, some in kinds.items():
            if any(text in held for text in some):
                found.setdefault(kind, set()).add(place)
    return {kind: sorted(places) for kind, places in found.items()}


def _files(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in folder.rglob("*"):
        if path.is_file():
            yield (
                "log" if "wal" in path.parts else "segment" if "segments" in path.parts else "elsewhere",
                path.read_bytes(),
            )


def measure(count: int) -> dict[str, Any]:
    """Measure a facedb of this many persons."""
    folder = Path(tempfile.mkdtemp(prefix="facesearch-"))
    gallery = Gallery(folder)
    with closing(gallery.store) as store:
        gallery.fill(count // 2)
        points = gallery.leaving()
        gallery.fill(count - count // 2)
        wanted = traces(points)

        def now() -> dict[str, list[str]]:
            time.sleep(FLUSHED_S)
            return left(folder, points, wanted)

        found: dict[str, Any] = {"persons": count, "before": now()}
        for point in points:
            store.delete(DB, point.person_id)
        found["deleted"] = now()
        changes = 0
        while changes < MOST_CHANGES and now():
            gallery.grow(BATCH)
            changes += BATCH
        found |= {"changes": changes, "after the changes": now()}
        store.compact(DB, lambda: None)
        found["compacted"] = left(folder, points, wanted)
        found["kept"] = store.count(DB)
    shutil.rmtree(folder)
    return found


def main() -> int:
    found = [measure(count) for count in (QUICK if results.is_quick() else SIZES)]
    results.keep("remains", {"facedbs": found})
    print(json.dumps(found, indent=1))
    print(f"\n{'persons':>9}  {'form':<18} {'before':<14} {'deleted':<14} {'changes':<14} compacted")
    stages = ("before", "deleted", "after the changes", "compacted")
    for one in found:
        for kind in sorted({kind for stage in stages for kind in one[stage]}):
            places = [", ".join(one[stage].get(kind, [])) or "-" for stage in stages]
            print(f"{one['persons']:>9}  {kind:<18} {places[0]:<14} {places[1]:<14} {places[2]:<14} {places[3]}")
        print(f"{one['persons']:>9}  compacted after {one['changes']} other changes")
    return 1 if any(one["compacted"] or "vector" not in one["before"] for one in found) else 0


if __name__ == "__main__":
    sys.exit(main())
