"""Cosines of false accept rates: of known distributions of impostor pairs, and of any."""

from itertools import pairwise
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.confidence.rates import FARS, STEPS, calibration, cosines_at, step_of, tail

CENTRE, SPREAD = 0.02, 0.1
NORMAL = NormalDist(CENTRE, SPREAD)


def reaching_counts(cosines):
    """Return how many pairs of these cosines reach each step."""
    steps = np.clip(np.floor((np.asarray(cosines) + 1) * STEPS / 2 + 1e-9), 0, STEPS).astype(int)
    return np.bincount(steps, minlength=STEPS + 1)[::-1].cumsum()[::-1]


def fit_cosines(cosines):
    """Return the fitted cosine at each confidence for impostor pairs of these cosines."""
    return dict(zip(FARS, cosines_at(reaching_counts(cosines)), strict=True))


@pytest.mark.parametrize("seed", range(3))
def test_quantiles_of_a_normal_distribution_are_found_far_beyond_the_data(seed):
    """Confidence 97 stands for a rate of 1 in 1,000,000, and there are 60,000 pairs."""
    found = fit_cosines(np.random.default_rng(seed).normal(CENTRE, SPREAD, 60_000))
    for confidence, far in FARS.items():
        assert found[confidence] == pytest.approx(NORMAL.inv_cdf(1 - far), abs=0.02)


def test_rates_are_counted_where_there_are_enough_pairs():
    cosines = np.random.default_rng(0).normal(CENTRE, SPREAD, 2_000_000)
    for confidence, cosine in fit_cosines(cosines).items():
        far = FARS[confidence]
        assert cosine == pytest.approx(NORMAL.inv_cdf(1 - far), abs=0.005)
        if far >= 1e-4:
            assert (cosines >= cosine).mean() <= far
            # No lower cosine keeps the rate.
            assert (cosines >= cosine - 1e-4).mean() > far


@pytest.mark.parametrize("dimension", [16, 64, 128, 512])
def test_quantiles_of_random_directions_are_those_of_geometry(dimension):
    """The cosine c of two random directions has a density proportional to (1 - c^2)^((d - 3) / 2)."""
    half = (dimension - 1) / 2
    found = fit_cosines(np.random.default_rng(dimension).beta(half, half, 200_000) * 2 - 1)
    grid = np.linspace(-1, 1, 200_001)
    above = ((1 - grid**2) ** (half - 1))[::-1].cumsum()
    for confidence, far in FARS.items():
        true = -grid[np.searchsorted(above, far * above[-1])]
        # In few dimensions the tail ends sooner than a normal one: the fit is too strict, never too lax.
        assert true - 0.1 / dimension**0.5 < found[confidence] < true + 0.1 / dimension**0.5 + 1.5 / dimension


def test_the_more_alike_of_two_kinds_of_impostor_pairs_decide():
    """A tenth of the pairs is normal about a higher mean, as pairs of related people are."""
    rng = np.random.default_rng(0)
    alike, others = NormalDist(0.15, 0.1), NORMAL
    draw = np.concatenate([rng.normal(0.15, 0.1, 20_000), rng.normal(CENTRE, SPREAD, 180_000)])
    for confidence, cosine in fit_cosines(draw).items():
        rate = 0.1 * (1 - alike.cdf(cosine)) + 0.9 * (1 - others.cdf(cosine))
        assert FARS[confidence] / 3 < rate < FARS[confidence] * 3


@st.composite
def mixtures(draw):
    """Cosines of impostor pairs: up to three normal distributions of any mean and width, even of width 0."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    places = draw(st.lists(st.tuples(st.floats(-1, 1), st.floats(0, 0.3)), min_size=1, max_size=3))
    return np.clip(np.concatenate([rng.normal(*place, 60_000 // len(places)) for place in places]), -1, 1)


@given(mixtures())
@settings(max_examples=100)
def test_cosines_rise_with_confidence_and_lie_on_steps_for_any_data(cosines):
    found = cosines_at(reaching_counts(cosines))
    assert found[0] > -1
    assert all(low < high for low, high in pairwise(found))
    assert found == [round(cosine, 4) for cosine in found]


@given(st.lists(st.integers(-9_000, 9_990), min_size=len(FARS), max_size=len(FARS), unique=True))
def test_a_calibration_passes_through_its_cosines(steps):
    cosines = [step / 1e4 for step in sorted(steps)]
    made = calibration(cosines)
    for confidence, cosine in zip(FARS, cosines, strict=True):
        assert made.confidence(cosine) == confidence
    assert made.confidence(0.9999) == 100
    assert made.confidence(0.9998) < 100


@given(mixtures(), st.floats(-1, 1))
@settings(max_examples=50)
def test_the_tail_gives_every_cosine_a_rate_that_falls_with_the_cosine(cosines, cosine):
    line = tail(reaching_counts(cosines))
    assert 0 <= line.rate(1) <= line.rate(cosine) <= line.rate(-1) <= 1


def test_the_rate_of_the_cosine_of_a_rate_is_that_rate():
    line = tail(reaching_counts(np.random.default_rng(0).normal(CENTRE, SPREAD, 60_000)))
    for far in FARS.values():
        assert line.rate(line.cosine(far)) == pytest.approx(far)


@given(st.floats(-1, 1))
def test_a_step_is_never_below_its_cosine(cosine):
    assert step_of(cosine) * 2 / STEPS - 1 >= cosine - 1e-9
    assert (step_of(cosine) - 1) * 2 / STEPS - 1 < cosine
