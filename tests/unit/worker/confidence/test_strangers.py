"""Estimates of how often strangers reach a confidence, on made-up libraries of which the truth is known."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.confidence.rates import FARS, STEPS, cosines_at, step_of
from worker.confidence.strangers import MIN_FACES, Estimate, TooFewFaces, estimate, same_person

DIMENSION = 128
JUDGED = (80, 90, 95)

Faces = Callable[[int], np.ndarray]


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


class Population:
    """People around the centres of several groups. shares: the part of each group. alike: the cosine by which people of
    a group resemble each other beside what all have in common.
    """

    def __init__(self, shares: tuple[float, ...], alike: tuple[float, ...], seed: int = 0) -> None:
        self.random = np.random.default_rng(seed)
        centres = unit(self.random.normal(size=(len(shares), DIMENSION)))
        common = unit(self.random.normal(size=DIMENSION))
        self._centres = 0.3 * common + np.sqrt(alike)[:, None] * centres
        self._shares = shares

    def people(self, count: int) -> np.ndarray:
        group = self.random.choice(len(self._shares), count, p=self._shares)
        return unit(self._centres[group] + 0.95 * unit(self.random.normal(size=(count, DIMENSION))))

    def photos(self, people: np.ndarray) -> np.ndarray:
        """Return a photo of each person: photos of one person have a cosine of 0.75 +- 0.03."""
        return unit(people + 0.58 * unit(self.random.normal(size=people.shape))).astype(np.float32)

    def truth(self, cosines: list[float]) -> list[float]:
        """Return how often strangers reach the cosines, counted."""
        counts = reaching(self.photos(self.people(6000)))
        return [float(counts[step_of(cosine)] / counts[0]) for cosine in cosines]


POPULATIONS = {
    "one group": Population((1.0,), (0.0,)),
    "alike": Population((1.0,), (0.15,)),
    "several groups": Population((0.6, 0.3, 0.1), (0.0, 0.05, 0.15)),
}


def reaching(vectors: np.ndarray) -> np.ndarray:
    """Return how many pairs reach each step of cosine."""
    counts = np.zeros(STEPS + 1, int)
    for row in range(1, len(vectors)):
        steps = np.clip((vectors[:row] @ vectors[row] + 1) * STEPS / 2, 0, STEPS).astype(int)
        np.add.at(counts, steps, 1)
    return counts[::-1].cumsum()[::-1]


@pytest.fixture(scope="module", params=POPULATIONS)
def population(request: pytest.FixtureRequest) -> tuple[Population, list[float], list[float]]:
    """A population, the cosines of a calibration that was measured on another one, and their true rates in this one."""
    people = POPULATIONS[request.param]
    other = people.photos(people.people(2000))
    cosines = cosines_at(reaching(other))
    return people, cosines, people.truth(cosines)


def library(population: Population, faces: int, copies: int = 1, share: float = 0.0) -> np.ndarray:
    """Return photos in random order. share: part of the faces that are further photos of people who have one already,
    copies - 1 of each of these people.
    """
    extra = int(faces * share) // max(1, copies - 1)
    people = population.people(faces - extra * (copies - 1))
    everyone = np.concatenate([people, *[people[:extra]] * (copies - 1)])
    return population.photos(population.random.permutation(everyone))


def ratios(found: Estimate, true: list[float]) -> dict[int, float]:
    return {
        level.confidence: level.rate / rate
        for level, rate in zip(found.levels, true, strict=True)
        if level.confidence in JUDGED
    }


@pytest.mark.parametrize("faces", [500, 2000])
@pytest.mark.parametrize(("copies", "share"), [(1, 0.0), (2, 0.05), (5, 0.05)])
def test_estimated_rates_are_within_a_factor_of_2_of_the_counted_ones(
    population: Any, faces: int, copies: int, share: float
) -> None:
    people, cosines, true = population
    estimates = [
        ratios(estimate(library(people, faces, copies, share), cosines), true) for _ in range(5 if faces < 1000 else 1)
    ]
    for confidence in JUDGED:
        middle = float(np.median([found[confidence] for found in estimates]))
        assert 1 / 2 < middle < 2, (confidence, middle)


def test_a_library_in_which_everybody_has_five_photos(population: Any) -> None:
    people, cosines, true = population
    vectors = people.photos(np.repeat(people.people(600), 5, axis=0))
    found = estimate(vectors, cosines)
    assert found.repeated == pytest.approx(2400, rel=0.03)
    assert all(1 / 3 < ratio < 3 for ratio in ratios(found, true).values())


def test_intervals_contain_the_truth(population: Any) -> None:
    people, cosines, true = population
    held = [
        level.low <= rate <= level.high
        for _ in range(10)
        for level, rate in zip(estimate(library(people, 500), cosines).levels, true, strict=True)
        if level.confidence in JUDGED
    ]
    assert np.mean(held) > 0.8


def test_people_who_look_alike_are_different_people(population: Any) -> None:
    people, _, _ = population
    vectors = library(people, 2000)
    assert len(np.unique(same_person(vectors))) >= 1998


def test_a_small_group_of_look_alikes_is_not_taken_for_one_person() -> None:
    """Three in a hundred people are of a group whose cosines nobody else reaches."""
    people = Population((0.97, 0.03), (0.0, 0.4), seed=4)
    for faces in (500, 3000):
        vectors = library(people, faces)
        assert len(np.unique(same_person(vectors))) >= faces - 2


def test_photos_of_one_person_are_found(population: Any) -> None:
    people, _, _ = population
    labels = same_person(people.photos(np.concatenate([everyone := people.people(950), everyone[:50]])))
    found = int((labels[:50] == labels[950:]).sum())
    wrong = 1000 - found - len(np.unique(labels))
    assert found >= 45
    assert abs(wrong) <= 3


def test_the_own_cosines_have_the_rates_that_are_meant(population: Any) -> None:
    people, cosines, _ = population
    found = estimate(library(people, 3000), cosines)
    own = [level.own for level in found.levels]
    assert all(low < high for low, high in pairwise(own))
    for level, rate in zip(found.levels, people.truth(own), strict=True):
        if level.confidence in JUDGED:
            assert level.far / 2 < rate < level.far * 2


def test_97_is_told_from_enough_faces_on(population: Any) -> None:
    people, cosines, _ = population
    for faces, told in ((500, False), (9000, True)):
        assert estimate(library(people, faces), cosines).levels[-1].told is told


def test_too_few_faces_are_refused() -> None:
    people = POPULATIONS["one group"]
    with pytest.raises(TooFewFaces, match="499 faces are too few: 500 are needed"):
        estimate(library(people, MIN_FACES - 1), [0.1] * 7)


def test_copies_of_one_photo_are_refused() -> None:
    with pytest.raises(ValueError, match="as alike as copies"):
        estimate(np.tile(unit(np.ones(8)), (600, 1)), [0.1 * n for n in range(7)])


def test_an_exception_of_the_step_ends_the_work() -> None:
    def step() -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        estimate(library(POPULATIONS["one group"], 500), [0.1] * 7, step)


@given(st.integers(0, 2**32 - 1), st.integers(64, 128), st.floats(0, 0.5), st.integers(1, 30))
@settings(max_examples=10, deadline=None)
def test_any_vectors_have_rates_that_are_rates(seed: int, dimension: int, common: float, groups: int) -> None:
    random = np.random.default_rng(seed)
    centres = random.normal(size=(groups, dimension))
    vectors = unit(common * centres[random.integers(0, groups, 520)] + random.normal(size=(520, dimension)))
    found = estimate(vectors, [-0.2, 0.0, 0.2, 0.4, 0.6, 0.8, 0.9])
    for level, far in zip(found.levels, FARS.values(), strict=True):
        assert 0 <= level.low <= level.rate <= level.high <= 1
        assert level.far == far
        assert level.error >= 0
    assert 0 <= found.repeated < 520
    assert all(low.own < high.own for low, high in pairwise(found.levels))


def test_rates_are_counted_from_100_pairs_on(population: Any) -> None:
    people, cosines, _ = population
    vectors = library(people, 1000)
    counts = reaching(vectors)
    for level in estimate(vectors, cosines).levels:
        found = counts[step_of(level.cosine)]
        assert level.counted is bool(found >= 100) or abs(found - 100) < 3
        if level.counted:
            assert level.rate == pytest.approx(found / counts[0], rel=0.03)
