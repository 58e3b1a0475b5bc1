"""Confidence intervals of rates that were counted."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facesearch.evaluation.intervals import (
    bootstrap,
    rates_over_people,
    resampled_true_accepts,
    true_accept_rates,
    wider,
    wilson,
)
from facesearch.evaluation.metrics import true_accept_rate
from facesearch.evaluation.pairs import Pairs, compare


def folder(seed: int, people: int, noise: float) -> Pairs:
    """Compare two photos of each person. noise: how far photos of one person are apart."""
    rng = np.random.default_rng(seed)
    vectors = np.repeat(rng.standard_normal((people, 16)), 2, axis=0)
    vectors += noise * rng.standard_normal(vectors.shape)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return compare(vectors, [str(number // 2) for number in range(2 * people)])


@pytest.mark.parametrize(
    ("count", "total", "low", "high"),
    # Newcombe, Statistics in Medicine 17, 1998, table I, method 3.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilsons_interval_is_that_of_the_publication(count: int, total: int, low: float, high: float) -> None:
    assert wilson(count, total) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


@given(st.integers(1, 10**6).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total))))
def test_wilsons_interval_contains_the_counted_rate(counted: tuple[int, int]) -> None:
    count, total = counted
    low, high = wilson(count, total)
    assert 0 <= low <= count / total <= high <= 1


def test_the_wider_of_two_intervals_contains_both() -> None:
    assert wider((0.2, 0.3), (0.1, 0.25)) == (0.1, 0.3)


def test_a_bootstrap_of_a_mean_has_the_width_of_its_standard_error() -> None:
    values = np.random.default_rng(0).normal(5, 2, 400)
    ((low, high),) = bootstrap(lambda drawn: np.array([drawn @ values / 400]), 400)
    assert low < values.mean() < high
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.1)


def test_a_bootstrap_is_reproducible_and_ignores_undefined_samples() -> None:
    def statistic(drawn: np.ndarray) -> np.ndarray:
        return np.array([drawn[0] if drawn[1] else np.nan, np.nan])

    first = bootstrap(statistic, 3)
    assert first == bootstrap(statistic, 3)
    assert first[0][1] <= 3
    assert first[1] == (0, 1)


def test_errors_of_one_person_give_a_wider_interval_than_the_same_errors_of_many() -> None:
    totals = np.full((1, 100), 10)
    spread, gathered = np.zeros((1, 100), int), np.zeros((1, 100), int)
    spread[0, :10], gathered[0, 0] = 1, 10
    ((_, often),) = rates_over_people(spread, totals, 1)
    ((_, rarely),) = rates_over_people(gathered, totals, 1)
    assert 1.3 * often < rarely


@pytest.mark.parametrize("shared", [1, 2])
def test_no_errors_give_the_upper_bound_of_wilson(shared: int) -> None:
    ((low, high),) = rates_over_people(np.zeros((1, 50), int), np.full((1, 50), 4), shared)
    assert low == 0
    assert high == pytest.approx(wilson(0, 200 // shared)[1])


def test_impostor_intervals_are_wider_if_one_person_causes_the_errors() -> None:
    people, accepted = 200, 40
    totals = np.full((1, people), people - 1)
    apart, alike = np.zeros((1, people), int), np.zeros((1, people), int)
    apart[0, : 2 * accepted] = 1
    alike[0, : accepted + 1] = [accepted] + [1] * accepted
    alone = wilson(accepted, people * (people - 1) // 2)
    for counts, factor in ((apart, 1), (alike, 2.5)):
        ((low, high),) = rates_over_people(counts, totals, 2)
        assert low <= alone[0] < alone[1] <= high
        assert high - low >= factor * (alone[1] - alone[0])


@pytest.mark.slow
@pytest.mark.parametrize("noise", [0.3, 0.7, 1.2])
def test_intervals_of_true_accept_rates_contain_the_measured_rate(noise: float) -> None:
    found, fars = folder(1, 200, noise), (1e-2, 1e-3)
    for far, (low, high) in zip(fars, true_accept_rates(found, fars), strict=True):
        assert 0 <= low <= true_accept_rate(found, far) <= high <= 1
        assert high - low < 0.5


@pytest.mark.slow
def test_intervals_of_true_accept_rates_contain_the_true_rate_nearly_always() -> None:
    """19 of 20 intervals should; fewer than 34 of 40 would happen once in a hundred times."""
    far = 1e-2
    truth = np.mean([true_accept_rate(folder(1000 + seed, 60, 0.8), far) for seed in range(200)])
    held = 0
    for seed in range(40):
        ((low, high),) = true_accept_rates(folder(seed, 60, 0.8), [far])
        held += low <= truth <= high
    assert held >= 34


@pytest.mark.slow
def test_more_people_make_intervals_narrower() -> None:
    few, many = (true_accept_rates(folder(2, people, 0.8), [1e-2])[0] for people in (30, 300))
    assert many[1] - many[0] < 0.6 * (few[1] - few[0])


def test_two_people_are_enough_for_an_interval() -> None:
    found = folder(3, 2, 0.1)
    ((low, high),) = true_accept_rates(found, [1e-3])
    assert low < 0.5
    assert high == 1


def test_people_who_are_drawn_once_each_have_the_true_accept_rate_itself() -> None:
    pairs, fars = folder(1, 60, 0.6), (1e-1, 1e-2, 1e-3)
    found = resampled_true_accepts(pairs, fars)(np.ones(60, np.int64))
    assert list(found) == [true_accept_rate(pairs, far) for far in fars]


def test_the_same_people_are_drawn_for_every_statistic_so_that_a_difference_from_itself_has_no_interval() -> None:
    rates = resampled_true_accepts(folder(2, 60, 0.6), (1e-2,))
    assert bootstrap(lambda drawn: rates(drawn) - rates(drawn), 60) == [(0, 0)]


def test_people_without_a_pair_have_no_true_accept_rate() -> None:
    nobody_else = np.zeros(60, np.int64)
    nobody_else[0] = 60
    assert np.isnan(resampled_true_accepts(folder(3, 60, 0.6), (1e-2,))(nobody_else)).all()
