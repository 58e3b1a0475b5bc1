"""What several photos of a person gain: persons enrolled by 1, 2, 3 photos, by their mean or by the best of them.

    PYTHONPATH=. .venv/bin/python bench/several_photos.py [--quick] [DIR]

DIR has a folder for each person with their photos (by default ../shared/faces/lfw; 150 people of it with --quick). A
person of k photos is every choice of k of somebody's photos; each other photo of theirs is a genuine pair with it, and
each photo of everybody else an impostor pair. mean: the cosine is that to the normalised mean of the k vectors, by
which a person of several faces is searched; best: the highest cosine to one of them.

TAR at a FAR, and rank 1 among all people of DIR, each of the others enrolled by up to k photos. same: people with the
most photos, whom every k can be measured on; all: everybody with a photo more than k. far: impostor pairs that reach a
confidence, as a multiple of what it stands for. Intervals of 95 percent are as those of an evaluation
(facesearch/evaluation/intervals.py); people are resampled alike for all rows, and differences have intervals of their
own. Prints a table; writes bench/results.
"""

import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, Final

import numpy as np
from photos import LFW
from recognition import open_pipeline
from results import is_quick, keep

from facesearch.evaluation.fitting import FARS as STANDS_FOR
from facesearch.evaluation.intervals import bootstrap, wider, wilson
from facesearch.evaluation.metrics import nth
from shared.errors import FaceNotDetected
from shared.settings import Settings
from worker.models.catalog import calibration_of
from worker.vision.service import FaceService

FARS: Final = (1e-3, 1e-4, 1e-5)
RATES: Final = (*(f"TAR at {far:g}" for far in FARS), "rank 1")
CONFIDENCES: Final = (80, 95)
KEPT_PART: Final = 0.02
"""Part of impostor pairs, the most similar ones, that resampling may need: as in facesearch/evaluation/pairs.py."""
QUICK_PEOPLE: Final = 150
THREADS: Final = 2
NICE: Final = 5

WAYS: Final = ("mean", "best")

Statistic = Callable[[np.ndarray], np.ndarray]
"""Returns RATES, as parts, given how often each person is drawn."""


@dataclass(frozen=True)
class Photos:
    """vectors: float32 (N, D), of length 1. who: int (N,), the person of each, from 0 on. people: how many."""

    vectors: np.ndarray
    who: np.ndarray
    people: int

    def of(self, person: int) -> np.ndarray:
        return np.flatnonzero(self.who == person)


def embedded(service: FaceService, paths: Sequence[Path]) -> tuple[Photos, int]:
    """Return the photos with a face, and the number of those without."""

    def vector(path: Path) -> np.ndarray | None:
        try:
            return service.embed_most_prominent(path.read_bytes()).vector
        except FaceNotDetected:
            return None

    with ThreadPoolExecutor(THREADS) as threads:
        found = list(threads.map(vector, paths))
    seen = [(one, path.parent.name) for one, path in zip(found, paths, strict=True) if one is not None]
    _, who = np.unique([person for _, person in seen], return_inverse=True)
    return Photos(np.stack([one for one, _ in seen]), who, int(who.max()) + 1), len(found) - len(seen)


def cosines(photos: Photos, enrolled: np.ndarray, way: str) -> np.ndarray:
    """Return float32 (N, T): of each photo to each of T persons. enrolled: int (T, k), their photos."""
    if way == "best":
        each = [photos.vectors @ photos.vectors[column].T for column in enrolled.T]
        return np.maximum.reduce(each)
    mean = photos.vectors[enrolled].mean(axis=1)
    return photos.vectors @ (mean / np.linalg.norm(mean, axis=1, keepdims=True)).T


def others(photos: Photos, k: int, way: str) -> np.ndarray:
    """Return float32 (N, P): the cosine of each photo to each person enrolled by their first photos, at most k."""
    columns = [cosines(photos, photos.of(person)[None, :k], way) for person in range(photos.people)]
    return np.concatenate(columns, axis=1)


@dataclass(frozen=True)
class Measured:
    """Pairs of photos with persons of k photos. rates: a Statistic. far: of each of CONFIDENCES."""

    genuine: int
    impostors: int
    rates: Statistic
    far: list[float]


def measured(photos: Photos, people: Sequence[int], k: int, way: str, levels: Sequence[float]) -> Measured:
    """Compare all photos with each choice of k photos of these people. levels: cosines of CONFIDENCES."""
    enrolled = np.array([choice for person in people for choice in combinations(photos.of(person), k)])
    of = photos.who[enrolled[:, 0]]
    found = cosines(photos, enrolled, way)
    is_own = photos.who[:, None] == of
    is_enrolled = np.zeros_like(is_own)
    is_enrolled[enrolled, np.arange(len(enrolled))[:, None]] = True
    probe, template = np.nonzero(is_own & ~is_enrolled)
    order = np.argsort(found[probe, template])
    genuine, genuine_of = found[probe, template][order], photos.who[probe][order]
    first, second = np.nonzero(~is_own)
    scores = found[first, second]
    far = [float((scores >= level).mean()) for level in levels]
    most = max(1000, round(KEPT_PART * len(scores)))
    closest = np.argsort(-scores)[:most]
    scores, probes, templates = scores[closest], photos.who[first[closest]], of[second[closest]]
    against = others(photos, k, way)
    against[np.arange(len(photos.who)), photos.who] = -np.inf
    is_first = found[probe, template] > against.max(axis=1)[probe]
    ranked_of = photos.who[probe]
    probes_by = np.bincount(photos.who, minlength=photos.people)
    templates_by = np.bincount(of, minlength=photos.people)

    def rates(drawn: np.ndarray) -> np.ndarray:
        total, among = drawn[genuine_of].sum(), drawn[ranked_of]
        pairs = (drawn @ probes_by) * (drawn @ templates_by) - drawn**2 @ (probes_by * templates_by)
        if not (total and pairs):
            return np.full(len(RATES), np.nan)
        reached = np.cumsum(drawn[probes] * drawn[templates])
        at = np.searchsorted(reached, [nth(rate, int(pairs)) for rate in FARS])
        least = np.append(scores, -np.inf)[at]
        below = np.concatenate([[0], np.cumsum(drawn[genuine_of])])
        accepted = (below[-1] - below[np.searchsorted(genuine, least, side="right")]) / total
        return np.append(accepted, among @ is_first / among.sum())

    return Measured(len(genuine), int((~is_own).sum()), rates, far)


def row(of: Measured, people: int) -> dict[str, Any]:
    """Return a row of results, without what it is about."""
    once = np.ones(people, np.int64)
    ends = bootstrap(of.rates, people)
    rates = {
        name: [percent(rate), *map(percent, wider(interval, wilson(round(rate * of.genuine), of.genuine)))]
        for name, rate, interval in zip(RATES, of.rates(once).tolist(), ends, strict=True)
    }
    far = {
        confidence: round(rate / STANDS_FOR[confidence], 2)
        for confidence, rate in zip(CONFIDENCES, of.far, strict=True)
    }
    return {"genuine": of.genuine, "impostors": of.impostors, **rates, "far": far}


def difference(one: Measured, other: Measured, people: int) -> dict[str, list[float]]:
    """Return by how many points the rates of `one` are above those of `other`, with their intervals."""
    once = np.ones(people, np.int64)
    ends = bootstrap(lambda drawn: one.rates(drawn) - other.rates(drawn), people)
    return {
        name: [percent(more), *map(percent, interval)]
        for name, more, interval in zip(RATES, one.rates(once) - other.rates(once), ends, strict=True)
    }


def percent(part: float) -> float:
    return round(100 * float(part), 2)


def main() -> None:
    os.nice(NICE)
    given = [Path(argument) for argument in sys.argv[1:] if not argument.startswith("--")]
    folder = given[0] if given else LFW
    folders = sorted(path for path in folder.glob("*") if path.is_dir())[: QUICK_PEOPLE if is_quick() else None]
    paths = [path for each in folders for path in sorted(each.iterdir())]
    if not paths:
        raise SystemExit(f"{folder} has no photos: nothing to measure on")
    pipeline = open_pipeline(Settings())
    calibration = calibration_of(pipeline.embedder)
    levels = [calibration.cosine(confidence) for confidence in CONFIDENCES]
    photos, missing = embedded(pipeline.service, paths)
    counts = np.bincount(photos.who)
    most = int(counts.max())
    if most < 2:
        raise SystemExit(f"{folder} has no person with two photos: nothing to measure on")
    same = np.flatnonzero(counts == most).tolist()
    found: dict[str, Any] = {
        "set": "LFW" if folder == LFW else "another",
        "photos": len(photos.who),
        "without_face": missing,
        "people_by_photos": {str(n): int((counts == n).sum()) for n in range(1, most + 1)},
        "rows": [],
        "differences": [],
    }
    by: dict[tuple[int, str], Measured] = {}
    for k in range(1, most):
        for group, people in (("same", same), ("all", np.flatnonzero(counts > k).tolist())):
            for way in WAYS if k > 1 else WAYS[:1]:
                one = measured(photos, people, k, way, levels)
                about = {"people": len(people), "group": group, "photos": k, "way": way}
                found["rows"].append(about | row(one, photos.people))
                if group == "same":
                    by[k, way] = one
    for k in range(2, most):
        for (one, another), name in (
            (((k, "mean"), (k, "best")), f"mean of {k} less best of {k}"),
            (((k, "mean"), (k - 1, "mean")), f"mean of {k} less mean of {k - 1}"),
        ):
            found["differences"].append({"of": name} | difference(by[one], by[another], photos.people))
    for way in WAYS:
        found[f"far of {most} photos, {way}"] = far_alone(photos, same, most, way, levels)
    keep("several_photos", found)
    print(table(found))


def far_alone(photos: Photos, people: Sequence[int], k: int, way: str, levels: Sequence[float]) -> dict[int, float]:
    """Return how often strangers reach each confidence with persons of all their k photos, of whom no photo is left
    for a genuine pair.
    """
    enrolled = np.array([photos.of(person) for person in people])
    strangers = photos.who[:, None] != photos.who[enrolled[:, 0]]
    scores = cosines(photos, enrolled[:, :k], way)[strangers]
    return {
        confidence: round(float((scores >= level).mean()) / STANDS_FOR[confidence], 2)
        for confidence, level in zip(CONFIDENCES, levels, strict=True)
    }


def table(found: dict[str, Any]) -> str:
    lines = [f"{found['photos']} photos; people by number of photos: {found['people_by_photos']}"]
    for each in found["rows"]:
        rates = "  ".join(f"{name} {each[name][0]:.2f} [{each[name][1]:.2f}, {each[name][2]:.2f}]" for name in RATES)
        head = f"{each['group']:>4} {each['people']:>4} people, {each['way']} of {each['photos']}"
        lines.append(
            f"{head}: {rates}  {each['genuine']} genuine, {each['impostors']} impostor pairs, far {each['far']}"
        )
    for each in found["differences"]:
        rates = "  ".join(f"{name} {each[name][0]:+.2f} [{each[name][1]:.2f}, {each[name][2]:.2f}]" for name in RATES)
        lines.append(f"{each['of']}: {rates}")
    lines += [f"{name}: {value}" for name, value in found.items() if name.startswith("far of")]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
