"""Calibrations made of scores: on distributions that are known, and on whatever they may be."""

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


def unit(array):
    return array / np.linalg.norm(array, axis=1, keepdims=True)


def people(rng, count, photos=1, dimension=128, likeness=1.0):
    """Vectors of that many people, each a direction by chance; likeness: how far photos of one person lie apart."""
    faces = unit(rng.normal(size=(count, dimension)))
    vectors = unit(np.repeat(faces, photos, axis=0) + likeness * rng.normal(size=(count * photos, dimension)) / 20)
    return vectors, [f"p{i // photos}" for i in range(count * photos)]


def reaching(cosines):
    """How many pairs of those cosines reach each step, as Pairs has it."""
    steps = np.clip(np.floor((np.asarray(cosines) + 1) * STEPS / 2 + 1e-9), 0, STEPS).astype(int)
    return np.bincount(steps, minlength=STEPS + 1)[::-1].cumsum()[::-1]


def fitted(cosines):
    """The cosine at each confidence when strangers have those."""
    return dict(zip(FARS, cosines_at(reaching(cosines)), strict=True))


@pytest.mark.parametrize("seed", range(3))
def test_of_a_normal_distribution_it_finds_the_quantiles_far_beyond_what_it_saw(seed):
    """97 stands for a rate of 1 in 1,000,000, and there are 60,000 pairs."""
    found = fitted(np.random.default_rng(seed).normal(CENTRE, SPREAD, 60_000))
    for confidence, far in FARS.items():
        assert found[confidence] == pytest.approx(NORMAL.inv_cdf(1 - far), abs=0.02)


def test_where_there_are_enough_pairs_it_counts_them():
    cosines = np.random.default_rng(0).normal(CENTRE, SPREAD, 2_000_000)
    for confidence, cosine in fitted(cosines).items():
        far = FARS[confidence]
        assert cosine == pytest.approx(NORMAL.inv_cdf(1 - far), abs=0.005)
        if far >= 1e-4:
            assert (cosines >= cosine).mean() <= far
            # No lower cosine does.
            assert (cosines >= cosine - 1e-4).mean() > far


@pytest.mark.parametrize("dimension", [16, 64, 128, 512])
def test_of_directions_by_chance_it_finds_what_geometry_says(dimension):
    """The cosine c of two such directions has the density (1 - c^2)^((d - 3) / 2), but for a factor."""
    half = (dimension - 1) / 2
    found = fitted(np.random.default_rng(dimension).beta(half, half, 200_000) * 2 - 1)
    grid = np.linspace(-1, 1, 200_001)
    above = ((1 - grid**2) ** (half - 1))[::-1].cumsum()
    for confidence, far in FARS.items():
        true = -grid[np.searchsorted(above, far * above[-1])]
        # In few dimensions the tail ends sooner than a normal one: what it says is too strict, never too lax.
        assert true - 0.1 / dimension**0.5 < found[confidence] < true + 0.1 / dimension**0.5 + 1.5 / dimension


def test_of_two_kinds_of_strangers_the_more_alike_ones_decide():
    """As people of one descent do among all: a tenth of the pairs is normal about another centre."""
    rng = np.random.default_rng(0)
    alike, others = NormalDist(0.15, 0.1), NORMAL
    draw = np.concatenate([rng.normal(0.15, 0.1, 20_000), rng.normal(CENTRE, SPREAD, 180_000)])
    for confidence, cosine in fitted(draw).items():
        rate = 0.1 * (1 - alike.cdf(cosine)) + 0.9 * (1 - others.cdf(cosine))
        assert FARS[confidence] / 3 < rate < FARS[confidence] * 3


@pytest.mark.slow
def test_the_error_is_of_the_size_that_other_folders_show():
    cosines, errors = [], []
    for seed in range(25):
        vectors, who = people(np.random.default_rng(seed), 250, 2, dimension=32)
        level = next(level for level in fit(vectors, who) if level.confidence == 95)
        cosines.append(level.cosine)
        errors.append(level.error)
    assert 0.5 < np.mean(errors) / np.std(cosines) < 3


@st.composite
def heaps(draw):
    """Cosines of strangers: up to three heaps, at any place and of any width, even of one cosine alone."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    places = draw(st.lists(st.tuples(st.floats(-1, 1), st.floats(0, 0.3)), min_size=1, max_size=3))
    return np.clip(np.concatenate([rng.normal(*place, 60_000 // len(places)) for place in places]), -1, 1)


@given(heaps())
@settings(max_examples=100, deadline=None)
def test_whatever_the_scores_cosines_rise_and_lie_on_steps(cosines):
    found = cosines_at(reaching(cosines))
    assert found[0] > -1
    assert all(low < high for low, high in pairwise(found))
    assert found == [round(cosine, 4) for cosine in found]


@given(st.lists(st.integers(-9_000, 9_990), min_size=len(FARS), max_size=len(FARS), unique=True))
def test_a_calibration_goes_through_its_levels(steps):
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
def test_a_folder_that_is_too_small_is_refused_with_what_it_needs(count, photos, doubles):
    vectors, who = people(np.random.default_rng(0), count, photos)
    vectors, who = np.concatenate([vectors, vectors[:doubles]]), [*who, *who[:doubles]]
    if photos > 1:
        vectors, who = vectors[: count * photos], who[: count * photos]
    with pytest.raises(ValueError, match=rf"faces of {count} people, .* pairs of strangers and .* 250 people"):
        fit(vectors, who)


def test_what_is_said_to_be_enough_is():
    names = [f"p{i}" for i in range(250)]
    assert not shortage(names + names[:30])
    assert shortage(names + names[:29])
    assert shortage(names[:99] * 3)


@pytest.mark.parametrize("people", [[], ["a"], ["a", "a"], ["a", "b"]])
def test_hardly_anybody_is_too_few(people):
    with pytest.raises(ValueError, match="250 people"):
        fit(np.ones((len(people), 4)) / 2, people)


def test_a_group_that_is_left_out_takes_all_its_pairs_along():
    vectors, who = people(np.random.default_rng(0), 50, 2, dimension=8)
    names = sorted(set(who))
    for group, strangers in enumerate(impostors_without_group(vectors, who)):
        kept = [i for i, name in enumerate(who) if names.index(name) % GROUPS != group]
        alone = compare(vectors[kept], [who[i] for i in kept]).impostors_reaching
        # One more or less where a cosine lies on a step: products of matrices round by their size.
        assert np.abs(strangers - alone).max() <= 1


def test_levels_say_what_holds_in_the_folder_itself():
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


def test_a_model_that_gives_everybody_the_same_vector_is_refused():
    vectors, who = np.ones((300, 4)) / 2, [f"p{i // 2}" for i in range(300)]
    with pytest.raises(ValueError, match="alike"):
        fit(vectors, who)
