"""The result of an evaluation, as numbers and as the JSON that the command prints."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from facesearch.evaluation import intervals, metrics
from facesearch.evaluation.intervals import Interval
from facesearch.evaluation.pairs import Pairs, compare
from worker.models.calibration import Calibration

FARS: Final = {"1e-2": 1e-2, "1e-3": 1e-3, "1e-4": 1e-4, "1e-5": 1e-5}
"""False accept rates by their names in results."""

CONFIDENCES: Final = (80, 90, 95)
RANKS: Final = (1, 10)
LIBRARIES: Final = (1_000, 10_000, 1_000_000)
"""Sizes in faces."""

PROTOCOL: Final = (
    "The gallery has one photo of each person, the first by name of file; every other photo is a probe. A photo "
    "without a face finds nobody and is found by nobody. Rank k: the right person is among the k most alike."
)


@dataclass(frozen=True)
class Rate:
    """A part in [0, 1]: count of total. interval: of 95 %, see intervals.py."""

    part: float
    count: int
    total: int
    interval: Interval


@dataclass(frozen=True)
class Level:
    """Error rates at a confidence. cosine: least one with that confidence. far, frr: parts of impostor pairs that reach
    it, and of genuine pairs that do not.
    """

    confidence: int
    cosine: float
    far: Rate
    frr: Rate


@dataclass(frozen=True)
class Tally:
    """Contents of a folder. photos: that could be read. people: who are on them. without_face: photos without a face.
    poor: photos with a face of too low quality to search with, by the settings. skipped: files that are no photo of a
    person. unreadable: photos that are damaged or not readable.
    """

    photos: int
    people: int
    without_face: int
    poor: int
    skipped: int
    unreadable: int

    @property
    def detected(self) -> int:
        return self.photos - self.without_face - self.poor


@dataclass(frozen=True, eq=False)  # arrays have no single truth value, so no ==
class Evaluation:
    """The result. tar_at_far: by the names of FARS. ranks: by RANKS. levels: of CONFIDENCES, empty if the model has no
    calibration. gallery: number of people in it. model, detector: identities, as text.
    """

    tally: Tally
    pairs: Pairs
    tar_at_far: dict[str, Rate]
    eer: float
    ranks: dict[int, Rate]
    gallery: int
    levels: tuple[Level, ...]
    calibration: Calibration | None
    model: str
    detector: str

    def as_dict(self) -> dict[str, Any]:
        """Return the result for JSON. Rates are parts, 0 to 1."""
        probes = next(iter(self.ranks.values())).total
        return {
            "photos": self.tally.photos,
            "people": self.tally.people,
            "detected": self.tally.detected,
            "without_face": self.tally.without_face,
            "poor": self.tally.poor,
            "skipped": self.tally.skipped,
            "unreadable": self.tally.unreadable,
            "pairs": {"genuine": self.pairs.genuine_count, "strangers": self.pairs.impostor_count},
            "tar_at_far": {name: rate.part for name, rate in self.tar_at_far.items()},
            "tar_at_far_interval": {name: rate.interval for name, rate in self.tar_at_far.items()},
            "strangers_beyond": {name: metrics.nth(FARS[name], self.pairs.impostor_count) for name in self.tar_at_far},
            "eer": self.eer,
            **{f"rank{rank}": rate.part for rank, rate in self.ranks.items()},
            **{f"rank{rank}_interval": rate.interval for rank, rate in self.ranks.items()},
            "identification": {"probes": probes, "gallery": self.gallery, "protocol": PROTOCOL},
            "at_confidence": {str(level.confidence): _level(level) for level in self.levels},
            "library": {
                str(faces): {str(level.confidence): _library(level, faces) for level in self.levels}
                for faces in LIBRARIES
            },
            "model": self.model,
            "detector": self.detector,
        }


def evaluation(
    vectors: npt.ArrayLike,
    people: Sequence[str],
    tally: Tally,
    calibration: Calibration | None,
    model: str,
    detector: str,
) -> Evaluation:
    """Evaluate embeddings. vectors: (N, D), of length 1; NaN for a photo without a face. people: who is on each photo,
    in the order of the photos.

    Raises ValueError without two photos of one person, or without two people.
    """
    cosines = [] if calibration is None else [calibration.cosine(confidence) for confidence in CONFIDENCES]
    pairs = compare(vectors, people, cosines)
    found = metrics.identify(vectors, people)
    accepts = [metrics.true_accept_rate(pairs, far) for far in FARS.values()]
    rates = [
        Rate(part, round(part * pairs.genuine_count), pairs.genuine_count, interval)
        for part, interval in zip(accepts, intervals.true_accept_rates(pairs, list(FARS.values())), strict=True)
    ]
    return Evaluation(
        tally,
        pairs,
        dict(zip(FARS, rates, strict=True)),
        metrics.equal_error_rate(pairs),
        _ranks(found),
        found.gallery,
        _levels(pairs),
        calibration,
        model,
        detector,
    )


def _ranks(found: metrics.Identification) -> dict[int, Rate]:
    totals = np.bincount(found.of, minlength=found.gallery)
    hits = np.array([np.bincount(found.of[found.ranks <= rank], minlength=found.gallery) for rank in RANKS])
    rates = _rates(hits, np.broadcast_to(totals, hits.shape), 1)
    return dict(zip(RANKS, rates, strict=True))


def _levels(pairs: Pairs) -> tuple[Level, ...]:
    if not pairs.levels:
        return ()
    impostors = np.broadcast_to(pairs.impostors_by, pairs.impostors_at.shape)
    genuine = np.broadcast_to(pairs.genuine_by, pairs.genuine_at.shape)
    accepted, refused = _rates(pairs.impostors_at, impostors, 2), _rates(genuine - pairs.genuine_at, genuine, 1)
    return tuple(map(Level, CONFIDENCES, pairs.levels, accepted, refused))


def _rates(counts: npt.NDArray[np.int64], totals: npt.NDArray[np.int64], shared: int) -> list[Rate]:
    """Return the rates. counts, totals: by kind of rate and person. shared: number of people with whom each pair is
    counted.
    """
    sums = zip(counts.sum(axis=1).tolist(), totals.sum(axis=1).tolist(), strict=True)
    return [
        Rate(count / total, count // shared, total // shared, interval)
        for (count, total), interval in zip(sums, intervals.rates_over_people(counts, totals, shared), strict=True)
    ]


def _level(level: Level) -> dict[str, Any]:
    return {
        "cosine": level.cosine,
        "far": level.far.part,
        "far_interval": level.far.interval,
        "false_accepts": level.far.count,
        "stranger_pairs": level.far.total,
        "frr": level.frr.part,
        "frr_interval": level.frr.interval,
        "false_rejects": level.frr.count,
        "genuine_pairs": level.frr.total,
    }


def _library(level: Level, faces: int) -> dict[str, Any]:
    """Return the false matches of a probe not in a library of that many faces."""
    return {
        "expected_strangers": metrics.expected_impostors(level.far.part, faces),
        "expected_strangers_interval": tuple(metrics.expected_impostors(end, faces) for end in level.far.interval),
        "chance_of_any": metrics.chance_of_impostor(level.far.part, faces),
    }
