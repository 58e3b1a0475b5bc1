"""Calibrations fitted to cosines of impostor pairs: of known distributions, and of any."""

from itertools import pairwise
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facesearch.evaluation.fitting import (
    FARS,
    GROUPS,
    Level,
    calibration,
    cosines_at,
    fit,
    impostors_without_group,
    shortage,
)
from facesearch.evaluation.pairs import STEPS, compare

CENTRE, SPREAD = 0.02, 0.1
NORMAL = NormalDist(CENTRE, SPREAD)


def unit_vectors(array):
    return array / np.linalg.norm(array, axis=1, keepdims=True)


def people(rng, count, photos=1, dimension=128, spread=1.0):
    """Return vectors of that many people in random directions. spread: how far photos of one person are apart."""
    faces = unit_vectors(rng.normal(size=(count, dimension)))
    vectors = unit_vectors(
        np.repeat(faces, photos, axis=0) + spread * rng.normal(size=(count * photos, dimension)) / 20
    )
    return vectors, [f"p{i // photos}" for i in range(count * photos)]


def reaching_counts(cosines):
    """Return how many pairs of these cosines reach each step, as `Pairs` counts them."""
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


@pytest.mark.slow
def test_the_reported_error_has_the_size_of_the_spread_over_folders():
    cosines, errors = [], []
    for seed in range(25):
        vectors, who = people(np.random.default_rng(seed), 250, 2, dimension=32)
        level = next(level for level in fit(vectors, who) if level.confidence == 95)
        cosines.append(level.cosine)
        errors.append(level.error)
    assert 0.5 < np.mean(errors) / np.std(cosines) < 3


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
def test_a_calibration_passes_through_its_levels(steps):
    levels = [
        Level(confidence, step / 1e4, far, True, 0.0, far, 0.0)
        for (confidence, far), step in zip(FARS.items(), sorted(steps), strict=True)
    ]
    made = calibration(levels)
    for level in levels:
        assert made.confidence(level.cosine) == level.confidence
    assert made.confidence(0.9999) == 100
    assert made.confidence(0.9998) < 100


@pytest.mark.parametrize(("count", "photos", "doubles"), [(99, 3, 99), (200, 1, 40), (300, 1, 29)])
def test_a_folder_that_is_too_small_is_refused_with_its_needs(count, photos, doubles):
    vectors, who = people(np.random.default_rng(0), count, photos)
    vectors, who = np.concatenate([vectors, vectors[:doubles]]), [*who, *who[:doubles]]
    if photos > 1:
        vectors, who = vectors[: count * photos], who[: count * photos]
    with pytest.raises(ValueError, match=rf"faces of {count} people, .* impostor pairs and .* 250 people"):
        fit(vectors, who)


def test_the_smallest_folder_that_suffices():
    names = [f"p{i}" for i in range(250)]
    assert not shortage(names + names[:30])
    assert shortage(names + names[:29])
    assert shortage(names[:99] * 3)


@pytest.mark.parametrize("people", [[], ["a"], ["a", "a"], ["a", "b"]])
def test_hardly_any_people_are_too_few(people):
    with pytest.raises(ValueError, match="250 people"):
        fit(np.ones((len(people), 4)) / 2, people)


def test_leaving_out_a_group_leaves_out_all_its_pairs():
    vectors, who = people(np.random.default_rng(0), 50, 2, dimension=8)
    names = sorted(set(who))
    for group, impostors in enumerate(impostors_without_group(vectors, who)):
        kept = [i for i, name in enumerate(who) if names.index(name) % GROUPS != group]
        alone = compare(vectors[kept], [who[i] for i in kept]).impostors_reaching
        # One more or less where a cosine lies on a step: the rounding of a matrix product depends on its size.
        assert np.abs(impostors - alone).max() <= 1


def test_levels_report_the_rates_in_the_folder_itself():
    vectors, who = people(np.random.default_rng(0), 300, 2)
    cosines = vectors @ vectors.T
    names = np.array(who)
    once = np.triu(np.ones(cosines.shape, bool), 1)
    same = names[:, None] == names
    for level in fit(vectors, who):
        assert level.accepted == pytest.approx((cosines[once & ~same] >= level.cosine).mean(), abs=1e-5)
        assert level.refused == pytest.approx((cosines[once & same] < level.cosine).mean(), abs=1e-2)
        assert level.counted == (level.far * (once & ~same).sum() >= 100)
        assert level.error > 0


def test_a_model_that_gives_every_face_the_same_vector_is_refused():
    vectors, who = np.ones((300, 4)) / 2, [f"p{i // 2}" for i in range(300)]
    with pytest.raises(ValueError, match="alike"):
        fit(vectors, who)
