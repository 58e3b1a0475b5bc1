"""Whether searches among persons of several faces find what a plain comparison finds, on both engines.

    .venv/bin/python bench/grouped_search.py [--quick]

Each of 10,000 random galleries has 1 to 60 persons, of 1 to 100 faces each, of people like SFace's
(bench/made_up_faces.py). Most of the persons are added whole, as a restore does; a quarter of those of several faces
get them later, and then lose some, as with callers. Two searches of each gallery, of a photo of somebody in it and of a
stranger, are compared with the reference: the cosines of the normalised float64 means, by NumPy. A search agrees if it
lists the same number of persons with the same cosines, to 1e-6, in the same order but for cosines that are closer than
that. The number of faces must be right, too. The engines: Qdrant Edge through EdgeStore, and the stand-in for a Qdrant
server (tests/qdrant_server.py, the same engine behind the server's API) with all galleries in one collection. --quick:
100.
"""

import json
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Final

import numpy as np
import results
from made_up_faces import DIMENSION, LikeSface

from shared.persons import MAX_FACES
from shared.settings import Settings
from worker.models.identity import Identity
from worker.store.base import Face, Match, Point, Store, Vector
from worker.store.edge.store import EdgeStore
from worker.store.faces import with_faces, without_face
from worker.store.qdrant.backend import open_qdrant

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from qdrant_server import served

OURS: Final = Identity("bench", "0" * 64, 1, DIMENSION)
GALLERIES: Final = 100 if results.is_quick() else 10_000
MOST_PERSONS: Final = 60
LIMIT: Final = 50
NEAR: Final = 1e-6
KEY: Final = "a key for the benchmark"

Gallery = Mapping[uuid.UUID, list[Vector]]


def face_counts(random: np.random.Generator, persons: int) -> list[int]:
    """Return how many faces persons have: mostly a few; in every other gallery one has many."""
    counts = np.minimum(random.geometric(0.4, persons), MAX_FACES)
    if random.random() < 0.5:
        counts[random.integers(persons)] = random.integers(1, MAX_FACES + 1)
    return [int(count) for count in counts]


def fill(store: Store, db: str, faces: LikeSface, random: np.random.Generator) -> Gallery:
    """Fill a gallery, and return the faces of each person that are in it."""
    gallery: dict[uuid.UUID, list[Vector]] = {}
    counts = face_counts(random, min(MOST_PERSONS, 1 + int(random.exponential(12))))
    everybody = faces.people(len(counts))
    whole, single = [], []
    for person, count in zip(everybody, counts, strict=True):
        person_id = uuid.UUID(bytes=random.bytes(16))
        vectors = list(faces.photos(np.repeat(person[None], count, axis=0)))
        kept = [
            Face(person_id if not n else uuid.UUID(bytes=random.bytes(16)), v, n + 1) for n, v in enumerate(vectors)
        ]
        first = Point(person_id, "", vectors[0], 1)
        gallery[person_id] = vectors
        if count == 1 or random.random() < 0.75:
            whole.append(with_faces(first, kept))
        else:
            single.append((first, kept))
    store.add(db, [*whole, *(first for first, _ in single)])
    for first, kept in single:
        change(store, db, first.person_id, lambda point, more=kept[1:]: with_faces(point, [*point.faces, *more]))
        for face in kept[: int(random.integers(0, len(kept)))]:
            if random.random() < 0.3:
                change(store, db, first.person_id, lambda point, gone=face.face_id: without_face(point, gone))
                gallery[first.person_id] = [v for v in gallery[first.person_id] if v is not face.vector]
    return gallery


def change(store: Store, db: str, person_id: uuid.UUID, how: Callable[[Point], Point | None]) -> None:
    (read,) = store.get(db, [person_id])
    store.replace(db, read, how(read))


def expected(gallery: Gallery, probe: Vector, least: float) -> list[tuple[float, uuid.UUID]]:
    found = []
    for person_id, vectors in gallery.items():
        mean = np.mean(np.stack(vectors).astype(np.float64), axis=0)
        found.append((float(mean @ probe.astype(np.float64) / np.linalg.norm(mean)), person_id))
    return [entry for entry in sorted(found, key=lambda entry: (-entry[0], entry[1])) if entry[0] >= least][:LIMIT]


def agrees(matches: list[Match], wanted: list[tuple[float, uuid.UUID]], gallery: Gallery, probe: Vector) -> bool:
    """Return whether the matches are the wanted ones, but for the order of those that are nearly alike."""
    if len(matches) != len(wanted):
        return False
    everybody = (
        {person_id: cosine for cosine, person_id in expected(gallery, probe, -1)} if len(gallery) <= LIMIT else {}
    )
    for match, (cosine, person_id) in zip(matches, wanted, strict=True):
        own = everybody.get(match.person_id, match.cosine)
        if abs(match.cosine - cosine) > NEAR or abs(match.cosine - own) > NEAR:
            return False
        if match.person_id != person_id and match.person_id not in gallery:
            return False
    return len({match.person_id for match in matches}) == len(matches)


def measure(store: Store, name: str) -> dict[str, Any]:
    random, faces = np.random.default_rng(7), LikeSface(7)
    wrong = searches = persons = stored = miscounted = 0
    begun = time.monotonic()
    for number in range(GALLERIES):
        db = f"gallery-{number}" if name == "server" else "gallery"
        gallery = fill(store, db, faces, random)
        persons += len(gallery)
        stored += sum(map(len, gallery.values()))
        miscounted += next(iter(store.counts([db]))).faces != sum(map(len, gallery.values()))
        own = gallery[list(gallery)[int(random.integers(len(gallery)))]][0]
        for probe, least in ((own, -1.0), (faces.photos(faces.people(1))[0], 0.1)):
            searches += 1
            wanted = expected(gallery, probe, least)
            # One that is at the very limit of a confidence may be on either side of it.
            near_limit = any(abs(cosine - least) < NEAR for cosine, _ in expected(gallery, probe, -1))
            wrong += not agrees(store.search(db, probe, LIMIT, least), wanted, gallery, probe) and not near_limit
        if name != "server":
            for person_id in gallery:
                store.delete(db, person_id)
    return {
        "engine": name,
        "galleries": GALLERIES,
        "persons": persons,
        "faces": stored,
        "searches": searches,
        "wrong": wrong,
        "miscounted": miscounted,
        "seconds": round(time.monotonic() - begun),
    }


def of_engine(name: str) -> dict[str, Any]:
    with ExitStack() as held:
        folder = Path(held.enter_context(tempfile.TemporaryDirectory()))
        if name == "embedded":
            return measure(held.enter_context(closing(EdgeStore(folder, OURS, 8))), name)
        server = held.enter_context(served(folder, KEY))
        settings = Settings(qdrant_url=server.url, qdrant_api_key=KEY, placement="shared", store_timeout_s=30)
        return measure(held.enter_context(closing(open_qdrant(settings, OURS))), name)


def main() -> None:
    with ProcessPoolExecutor(2) as pool:
        rows = list(pool.map(of_engine, ("embedded", "server")))
    print(json.dumps(rows, indent=1))
    results.keep("grouped_search", {"rows": rows})
    print("| engine | galleries | persons | faces | searches | that differ | galleries counted wrong |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for row in rows:
        keys = ("engine", "galleries", "persons", "faces", "searches", "wrong", "miscounted")
        print("| " + " | ".join(f"{row[key]:,}" if isinstance(row[key], int) else row[key] for key in keys) + " |")
    sys.exit(any(row["wrong"] or row["miscounted"] for row in rows))


if __name__ == "__main__":
    main()
