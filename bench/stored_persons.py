"""Lists, lookups and changes of persons in the embedded store: how long each holds the interpreter lock.

    .venv/bin/python bench/stored_persons.py [--quick]

Through EdgeStore as a worker uses it, among 10,000, 100,000 and a million persons in one collection: pages of 100 at
the beginning, in the middle and at the end; lookups by name and by external id; one person; and changes. Then pages of
galleries that are hard for an index: half of the persons without a time of adding, a thousand of each time, everybody
of one name. Then what indexes cost a collection while it grows, and when they are made later; what metadata, and
further faces of each person, cost a search that returns 50; and how long the faces of persons take to be read and
changed. Times are CPU time of the thread, in milliseconds unless a key says otherwise, and medians. Prints JSON, then a
table. --quick: up to 10,000.
"""

import json
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import qdrant_edge as engine
import results
from made_up_faces import DIMENSION, LikeSface

from shared.persons import MAX_FACES
from worker.models.identity import Identity
from worker.store import attributes
from worker.store.base import Face, Person, Point
from worker.store.edge import indexes, segments
from worker.store.edge.store import EdgeStore
from worker.store.faces import with_faces

OURS: Final = Identity("bench", "0" * 64, 1, DIMENSION)
SIZES: Final = (10_000, 100_000, 1_000_000)
QUICK: Final = (10_000,)
BATCH: Final = 500
PAGE: Final = 100
REPEATED: Final = 31
NOW: Final = 1_790_000_000_000_000
DB: Final = "bench"

Change = Callable[[Person], Person]


def persons(count: int) -> Iterator[Person]:
    """Yield persons in a random order of their ids, a millisecond after one another."""
    random = np.random.default_rng(0)
    for number in range(count):
        person_id = uuid.UUID(bytes=random.bytes(16))
        yield Person(person_id, f"ID{number}", NOW + number * 1_000, f"customer-{number}")


def point_of(person: Person, vector: np.ndarray) -> Point:
    return Point(person.person_id, person.name, vector, person.added, person.external_id, person.metadata)


def fill(store: EdgeStore, count: int, change: Change = lambda person: person) -> list[Person]:
    """Add this many persons, each changed first, and return them."""
    batches, everybody = LikeSface().batches(BATCH), [change(person) for person in persons(count)]
    for begin in range(0, count, BATCH):
        vectors = next(batches)
        some = everybody[begin : begin + BATCH]
        store.add(DB, [point_of(person, vector) for person, vector in zip(some, vectors, strict=True)])
    return everybody


def median_ms(call: Callable[[int], object]) -> float:
    """Return the median CPU time of the thread in milliseconds. The call gets numbers from 0."""
    times = []
    for number in range(REPEATED):
        begun = time.thread_time()
        call(number)
        times.append(time.thread_time() - begun)
    return round(float(np.median(times)) * 1e3, 3)


def once_s(call: Callable[[], object]) -> float:
    begun = time.thread_time()
    call()
    return round(time.thread_time() - begun, 3)


def pages(store: EdgeStore, everybody: Sequence[Person], **filters: str) -> dict[str, float]:
    """Return the time of a page of 100 at several depths."""
    in_order = sorted(person.position for person in everybody)
    depths = {"first": None, "middle": in_order[len(in_order) // 2], "last": in_order[-min(PAGE + 1, len(in_order))]}
    return {
        name: median_ms(lambda _, after=after: store.page(DB, after, PAGE, **filters)) for name, after in depths.items()
    }


def measure_size(folder: Path, size: int) -> dict[str, Any]:
    with closing(EdgeStore(folder, OURS, 1)) as store:
        everybody = fill(store, size)
        step = size // REPEATED
        found: dict[str, Any] = {"persons": size, "page": pages(store, everybody)}
        for filters in ({"name": "nobody"}, {"external_id": "nobody"}):  # makes the indexes of a small collection
            store.page(DB, None, PAGE, **filters)
        found["lookup"] = {
            "name": median_ms(lambda n: store.page(DB, None, PAGE, name=everybody[n * step].name)),
            "external_id": median_ms(lambda n: store.page(DB, None, PAGE, external_id=f"customer-{n * step}")),
        }
        found["person"] = median_ms(lambda n: store.person(DB, everybody[n * step].person_id))
        found["update"] = median_ms(lambda n: store.update(DB, everybody[n * step].person_id, {"name": f"new{n}"}))
    return found


HARD: Final[dict[str, tuple[Change, dict[str, str]]]] = {
    "half without a time": (lambda p: replace(p, added=p.added if p.person_id.int % 2 else None), {}),
    "a thousand of each time": (lambda p: replace(p, added=(p.added or 0) // 1_000_000 * 1_000_000), {}),
    "everybody of one name": (lambda p: replace(p, name="Ada"), {"name": "Ada"}),
    "one in a hundred of a name": (lambda p: replace(p, name=f"N{p.person_id.int % 100}"), {"name": "N7"}),
}


def measure_hard(folder: Path, size: int) -> dict[str, Any]:
    found = {}
    for number, (name, (change, filters)) in enumerate(HARD.items()):
        with closing(EdgeStore(folder / str(number), OURS, 1)) as store:
            everybody = fill(store, size, change)
            store.page(DB, None, 1, **filters)
            wanted = [person for person in everybody if person.name == filters.get("name", person.name)]
            found[name] = pages(store, wanted, **filters)
    return found


def measure_growth(folder: Path, size: int) -> dict[str, Any]:
    """Return what indexes cost while a collection grows to this size."""
    none: list[str] = []
    found = {}
    for name, keys in {"none": none, "times": ["added"], "all": ["added", "name", "external_id"]}.items():
        path = folder / name.replace(" ", "-")
        path.mkdir()
        shard = engine.EdgeShard.create(str(path), segments.config(segments.INDEX_FROM, DIMENSION))
        for key in keys:
            indexes.make(shard, key)
        batches, longest, adding = LikeSface().batches(BATCH), 0.0, 0.0
        everybody = list(persons(size))
        for begin in range(0, size, BATCH):
            points = [
                engine.Point(str(p.person_id), v.tolist(), attributes.payload_of(point_of(p, v)))
                for p, v in zip(everybody[begin : begin + BATCH], next(batches), strict=True)
            ]
            begun = time.process_time()
            shard.update(engine.UpdateOperation.upsert_points(points, update_mode=engine.UpdateMode.InsertOnly))
            added = time.process_time()
            shard.optimize()
            adding += added - begun
            longest = max(longest, time.process_time() - added)
        shard.flush()
        disk = sum(file.stat().st_blocks * 512 for file in path.rglob("*") if file.is_file())
        found[name] = {
            "add_us": round(adding / size * 1e6, 1),
            "longest_optimise_s": round(longest, 2),
            "disk_bytes_a_person": round(disk / size),
            "making_others_s": {key: once_s(partial(indexes.make, shard, key)) for key in indexes.KEYS},
        }
        shard.close()
    return found


METADATA: Final[dict[str, dict[str, str] | None]] = {
    "none": None,
    "40 bytes": {"department": "sales", "city": "Zürich"},
    "4,000 bytes": {"note": "x" * 3_980},
}


def measure_searches(folder: Path, size: int) -> dict[str, float]:
    """Return the time of a search that returns 50, by how much metadata each person has."""
    times: dict[str, list[float]] = {name: [] for name in METADATA}
    stores = {}
    for number, (name, metadata) in enumerate(METADATA.items()):
        stores[name] = EdgeStore(folder / str(number), OURS, 1)
        fill(stores[name], size, lambda person, metadata=metadata: replace(person, metadata=metadata))
    probes = LikeSface().photos(LikeSface().people(REPEATED))
    for probe in probes:
        for name, store in stores.items():  # interleaved, as the machine is not always as fast
            begun = time.thread_time()
            store.search(DB, probe, 50, -1)
            times[name].append(time.thread_time() - begun)
    for store in stores.values():
        store.close()
    return {name: round(float(np.median(each)) * 1e3, 3) for name, each in times.items()}


FACES: Final = (1, 2, 4, 100)


def measure_faces(folder: Path, size: int) -> dict[str, dict[str, float]]:
    """Return the times of a search that returns 50, of reading 50 persons with their faces, and of reading a person and
    writing it with a face more, by how many faces each person has.
    """
    names = ("search", "read 50", "another face")
    times: dict[int, dict[str, list[float]]] = {count: {name: [] for name in names} for count in FACES}
    stores, source, everyone = {}, LikeSface(), list(persons(size))
    for count in FACES:
        stores[count] = EdgeStore(folder / str(count), OURS, 1)
        for begin in range(0, size, BATCH):
            everybody = source.people(BATCH)
            photos = [source.photos(everybody) for _ in range(count)]
            points = []
            for place, person in enumerate(everyone[begin : begin + BATCH]):
                faces = [Face(uuid.UUID(int=n + 1), photos[n][place], NOW + n) for n in range(count)]
                points.append(with_faces(point_of(person, photos[0][place]), faces))
            stores[count].add(DB, points)
    probes = source.photos(source.people(REPEATED))
    for number, probe in enumerate(probes):
        for count, store in stores.items():  # interleaved, as the machine is not always as fast
            begun = time.thread_time()
            found = store.search(DB, probe, 50, -1)
            searched = time.thread_time()
            read = store.get(DB, [match.person_id for match in found])
            done = time.thread_time()
            times[count]["search"].append(searched - begun)
            times[count]["read 50"].append(done - searched)
            if count < MAX_FACES:
                more = Face(uuid.UUID(int=1000 + number), probe, NOW)
                begun = time.thread_time()
                (person,) = store.get(DB, [read[0].person_id])
                store.replace(DB, person, with_faces(person, [*person.faces, more]))
                times[count]["another face"].append(time.thread_time() - begun)
    for store in stores.values():
        store.close()
    return {
        str(count): {name: round(float(np.median(each)) * 1e3, 3) for name, each in of_it.items() if each}
        for count, of_it in times.items()
    }


def main() -> None:
    quick = results.is_quick()
    size = QUICK[0] if quick else 100_000
    found: dict[str, Any] = {"sizes": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in QUICK if quick else SIZES:
            found["sizes"].append(measure_size(folder / "size", number))
            shutil.rmtree(folder / "size")
        for part, measure in (("hard", measure_hard), ("growth", measure_growth), ("searches", measure_searches)):
            (folder / part).mkdir()
            found[part] = measure(folder / part, size)
            shutil.rmtree(folder / part)
        found["faces"] = measure_faces(folder / "faces", 1_000 if quick else 10_000)
    print(json.dumps(found))
    results.keep("stored_persons", found)
    for row in found["sizes"]:
        print(f"{row['persons']:>9,}", {key: value for key, value in row.items() if key != "persons"})
    for part in ("hard", "growth", "searches", "faces"):
        for key, value in found[part].items():
            print(f"{part}: {key}: {value}")


if __name__ == "__main__":
    main()
