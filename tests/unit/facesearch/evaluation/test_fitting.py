"""Calibrations fitted to photos of people: their errors, and folders that are refused."""

import numpy as np
import pytest

from facesearch.evaluation.fitting import GROUPS, fit, impostors_without_group, shortage
from facesearch.evaluation.pairs import compare


def unit_vectors(array):
    return array / np.linalg.norm(array, axis=1, keepdims=True)


def people(rng, count, photos=1, dimension=128, spread=1.0):
    """Return vectors of that many people in random directions. spread: how far photos of one person are apart."""
    faces = unit_vectors(rng.normal(size=(count, dimension)))
    vectors = unit_vectors(
        np.repeat(faces, photos, axis=0) + spread * rng.normal(size=(count * photos, dimension)) / 20
    )
    return vectors, [f"p{i // photos}" for i in range(count * photos)]


@pytest.mark.slow
def test_the_reported_error_has_the_size_of_the_spread_over_folders():
    cosines, errors = [], []
    for seed in range(25):
        vectors, who = people(np.random.default_rng(seed), 250, 2, dimension=32)
        level = next(level for level in fit(vectors, who) if level.confidence == 95)
        cosines.append(level.cosine)
        errors.append(level.error)
    assert 0.5 < np.mean(errors) / np.std(cosines) < 3


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
