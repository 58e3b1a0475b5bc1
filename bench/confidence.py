"""Measure estimates of how often strangers of a facedb reach a confidence (worker/confidence/strangers.py).

    .venv/bin/python bench/confidence.py [--quick] [--store FACES]

Each estimate is from a library that is drawn from a population of which the truth is counted with labels: LFW, if that
folder is there, and made-up people like SFace's (bench/made_up_faces.py): all, alike ones, and mixtures of groups. The
table has the estimated rate divided by the counted one. --store: fill an embedded store with that many faces instead,
and measure the time and memory of an estimate.
"""

import argparse
import json
import resource
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import results
from made_up_faces import LikeSface
from photos import LFW

from facesearch.evaluation.pairs import compare
from facesearch.evaluation.run import Searched, embed_photos, list_photos
from shared.host.cores import cores
from shared.jobs import person_id
from shared.settings import Settings
from worker.confidence.rates import FARS, Counts, cosines_at, step_of
from worker.confidence.strangers import estimate
from worker.models import custom
from worker.models.calibration import SFACE
from worker.models.spaces import spaces_of
from worker.runtime import open_faces
from worker.store.base import Point
from worker.store.edge.store import EdgeStore
from worker.upkeep import estimates
from worker.vision.quality import GATES

JUDGED: Final = (80, 90, 95, 97)
PEOPLE: Final = 12_000
"""People of a made-up population: of their 72 million pairs 720 reach 95."""

KINDS: Final = ("nobody twice", "5 % twice", "5 % of five photos", "everybody twice", "everybody five times")
SIZES: Final = (500, 2000, 5000, 10_000)


@dataclass(frozen=True)
class Population:
    """cosines, rates: of each of FARS: the cosines that these rates of impostor pairs reach in the population, except
    for LFW: those of SFace's calibration. library: returns vectors and people, of a number of faces and a kind.
    """

    name: str
    cosines: list[float]
    rates: list[float]
    library: Callable[[int, str], tuple[np.ndarray, np.ndarray]]


def people_of(faces: int, kind: str) -> np.ndarray:
    """Return the number of the person on each face of a library."""
    match kind:
        case "5 % twice":
            return np.concatenate([np.arange(faces - faces // 20), np.arange(faces // 20)])
        case "5 % of five photos":
            extra = faces // 20 // 4
            return np.concatenate([np.arange(faces - 4 * extra), np.repeat(np.arange(extra), 4)])
        case "everybody twice":
            return np.arange(faces) // 2
        case "everybody five times":
            return np.arange(faces) // 5
        case _:
            return np.arange(faces)


def reaching(vectors: np.ndarray) -> Counts:
    """Return how many pairs reach each step of cosine, all of different people."""
    # One genuine pair, which `compare` needs, of a person apart.
    both = np.concatenate([vectors, vectors[:1]])
    return compare(both, [str(number) for number in (*range(len(vectors)), 0)]).impostors_reaching


def made_up(name: str, groups: Mapping[float, float], people: int, seed: int) -> Population:
    """Return people like SFace's in several groups. groups: how far a group is from what all have in common, by its
    part of the people.
    """
    faces, random = LikeSface(seed), np.random.default_rng(seed)
    everyone = faces.people(people)
    places = random.standard_normal((len(groups), everyone.shape[1]))
    places /= np.linalg.norm(places, axis=1, keepdims=True)
    group = random.choice(len(groups), people, p=list(groups))
    everyone += (np.array(list(groups.values()))[group, None] * places[group]).astype(np.float32)
    counts = reaching(faces.photos(everyone))

    def library(size: int, kind: str) -> tuple[np.ndarray, np.ndarray]:
        who = people_of(size, kind)
        chosen = random.choice(people, size, replace=False)
        return faces.photos(everyone[chosen[who]]), who

    cosines = cosines_at(counts)
    return Population(name, cosines, [counts[step_of(cosine)] / counts[0] for cosine in cosines], library)


def lfw() -> Iterator[Population]:
    """Yield LFW, and the people of it who are most alike: the nearer half to one of them."""
    settings = Settings()
    embedder = custom.find(settings.embedder, "embedding", settings.models_dir)
    searched = Searched(
        open_faces(settings, embedder), spaces_of(embedder).preprocessing, GATES[settings.quality_search]
    )
    found = embed_photos(searched, list_photos(LFW).photos, cores(), lambda: None, print)
    kept = [(photo.person, vector) for photo, vector in found if not isinstance(vector, str)]
    vectors, who = np.stack([vector for _, vector in kept]), np.array([person for person, _ in kept])
    yield real("LFW", vectors, who)
    names, first = np.unique(who, return_index=True)
    spread = vectors[first] - vectors[first].mean(axis=0)
    axis = np.linalg.svd(spread, full_matrices=False)[2][0]
    near = names[np.argsort(-(vectors[first] @ axis))][: max(520, len(names) // 2)]
    yield real("LFW, alike", vectors[np.isin(who, near)], who[np.isin(who, near)])


def real(name: str, vectors: np.ndarray, who: np.ndarray) -> Population:
    counts = compare(vectors, who.tolist()).impostors_reaching
    random = np.random.default_rng(0)
    photos = {person: np.flatnonzero(who == person) for person in np.unique(who)}

    def library(size: int, kind: str) -> tuple[np.ndarray, np.ndarray]:
        """Return a photo of each of some people, and second ones in place of some if the kind says so."""
        extra = size // 20 if kind == "5 % twice" else 0
        chosen = random.permutation(list(photos))[: size - extra]
        taken = [random.permutation(photos[person]) for person in chosen]
        second = [several[1] for several in taken if len(several) > 1][:extra]
        index = np.array([*(several[0] for several in taken), *second])
        return vectors[index], who[index]

    cosines = [SFACE.cosine(confidence) for confidence in FARS]
    return Population(name, cosines, [counts[step_of(cosine)] / counts[0] for cosine in cosines], library)


def measure(population: Population, faces: int, kind: str, rounds: int) -> dict[str, Any]:
    """Return the estimated by the counted rates of several libraries, and how often their interval has the truth. A
    confidence that no pair of the population reaches is left out.
    """
    judged = [confidence for confidence in JUDGED if population.rates[list(FARS).index(confidence)]]
    numbers = [list(FARS).index(confidence) for confidence in judged]
    ratios, held, cpu = [], [], 0.0
    for _ in range(rounds):
        vectors, _ = population.library(faces, kind)
        begun = time.process_time()
        found = estimate(vectors, population.cosines).levels
        cpu = time.process_time() - begun
        ratios.append([found[n].rate / population.rates[n] for n in numbers])
        held.append([found[n].low <= population.rates[n] <= found[n].high for n in numbers])
    middle, low, high = np.median(ratios, axis=0), np.min(ratios, axis=0), np.max(ratios, axis=0)
    return {
        "population": population.name,
        "faces": faces,
        "kind": kind,
        "rounds": rounds,
        "ratio": dict(zip(map(str, judged), middle.round(2).tolist(), strict=True)),
        "least": dict(zip(map(str, judged), low.round(2).tolist(), strict=True)),
        "most": dict(zip(map(str, judged), high.round(2).tolist(), strict=True)),
        "held": dict(zip(map(str, judged), np.mean(held, axis=0).round(2).tolist(), strict=True)),
        "cpu_s": round(cpu, 2),
    }


def store(faces: int) -> dict[str, Any]:
    """Return the time and the memory of an estimate from an embedded store with that many faces."""
    settings = Settings()
    spaces = spaces_of(custom.find(settings.embedder, "embedding", settings.models_dir))
    made, origin = LikeSface(), uuid.UUID(int=1).hex
    with tempfile.TemporaryDirectory() as folder:
        with closing(EdgeStore(Path(folder) / "faces", spaces.preferred, 1)) as filled:
            for begin in range(0, faces, 1000):
                vectors = made.photos(made.people(1000))
                filled.add("db", [Point(person_id(origin, begin + n), "x", vectors[n]) for n in range(1000)])
        with closing(EdgeStore(Path(folder) / "faces", spaces.preferred, 1)) as opened:
            opened.count("db")
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            begun, cpu, longest, last = time.perf_counter(), time.process_time(), 0.0, time.perf_counter()

            def step(_: int, __: int) -> None:
                nonlocal longest, last
                longest, last = max(longest, time.perf_counter() - last), time.perf_counter()

            found = estimates.estimate(opened, spaces, "db", {spaces.preferred.model: SFACE}, step)
            return {
                "faces": found.stored,
                "sampled": found.faces,
                "seconds": round(time.perf_counter() - begun, 2),
                "cpu_s": round(time.process_time() - cpu, 2),
                "longest_step_ms": round(1e3 * longest, 1),
                "more_memory_mb": round((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1e3),
            }


def rows(quick: bool) -> Iterator[dict[str, Any]]:
    people, sizes = (4000, SIZES[:1]) if quick else (PEOPLE, SIZES)
    if LFW.is_dir() and not quick:
        for population in lfw():
            for kind in KINDS[:2]:
                yield measure(population, 500, kind, 20)
    for name, groups in (
        ("like SFace's", {1.0: 0.0}),
        ("alike", {1.0: 0.5}),
        ("four groups", {0.7: 0.0, 0.15: 0.35, 0.1: 0.45, 0.05: 0.6}),
        ("a tenth alike", {0.9: 0.0, 0.1: 0.5}),
        ("3 % very much alike", {0.97: 0.0, 0.03: 0.8}),
    ):
        population = made_up(name, groups, people, 1)
        for size in sizes:
            for kind in KINDS:
                yield measure(population, size, kind, 2 if quick else 10 if size == 500 else 3)


def show(row: Mapping[str, Any]) -> str:
    cells = [f"{row['ratio'][c]:.2f} ({row['least'][c]:.2f} to {row['most'][c]:.2f})" for c in row["ratio"]]
    return f"{row['population']:>20} {row['faces']:>6} {row['kind']:<21} {'  '.join(cells)}  {row['cpu_s']} s"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument(results.QUICK, action="store_true")
    parser.add_argument("--store", type=int)
    options = parser.parse_args()
    if options.store is not None:
        print(json.dumps(store(options.store)))
        return
    found = []
    for row in rows(options.quick):
        found.append(row)
        print(show(row), flush=True)
    results.keep("confidence", {"rows": found})


if __name__ == "__main__":
    main()
