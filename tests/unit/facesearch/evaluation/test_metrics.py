"""The measures of recognition: TAR at FAR, error curves, and identification ranks."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from facesearch.evaluation import pairs as pairs_module
from facesearch.evaluation.metrics import (
    chance_of_impostor,
    equal_error_rate,
    expected_impostors,
    false_accept_curve,
    false_reject_curve,
    identify,
    true_accept_rate,
)
from facesearch.evaluation.pairs import compare
from worker.confidence.rates import step_of


def vectors_at(*degrees: float) -> np.ndarray:
    """Return unit vectors in a plane at these angles."""
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


@st.composite
def folders(draw: st.DrawFn) -> tuple[np.ndarray, list[str]]:
    """Vectors and people of a folder that can be compared; some photos have no face, and some vectors are equal."""
    people = draw(st.lists(st.sampled_from("abcdef"), min_size=3, max_size=40))
    assume(1 < len(set(people)) < len(people))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    vectors = rng.integers(-2, 3, (len(people), 3)).astype(np.float64)
    vectors[(vectors == 0).all(axis=1)] = 1
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[draw(st.lists(st.integers(0, len(people) - 1), max_size=4))] = np.nan
    return vectors, people


def every_pair(vectors: np.ndarray, people: list[str]) -> tuple[list[float], list[float]]:
    """Return the cosines of all genuine and all impostor pairs, one by one; -inf without a face."""
    genuine, impostors = [], []
    for i in range(len(people)):
        for j in range(i + 1, len(people)):
            cosine = float(np.dot(vectors[i], vectors[j]))
            (genuine if people[i] == people[j] else impostors).append(-np.inf if np.isnan(cosine) else cosine)
    return genuine, impostors


def rates(vectors: np.ndarray, people: Sequence[str], fars: Sequence[float]) -> dict[float, float]:
    """Return the TAR at each FAR."""
    pairs = compare(vectors, people)
    return {far: true_accept_rate(pairs, far) for far in fars}


def test_genuine_pairs_are_accepted_above_the_most_alike_share_of_impostor_pairs() -> None:
    vectors, people = vectors_at(0, 10, 50, 80, 95), ["ann", "ann", "ann", "bob", "bob"]
    # Ann's photos are 10, 40 and 50 degrees apart, Bob's 15; of the six pairs of both the closest are 30 and 45.
    assert rates(vectors, people, [1e-9]) == {1e-9: pytest.approx(2 / 4)}
    assert rates(vectors, people, [2 / 6]) == {2 / 6: pytest.approx(3 / 4)}


def test_a_photo_without_a_face_is_never_accepted() -> None:
    vectors = vectors_at(0, 1, 0, 90)
    vectors[2] = np.nan
    assert rates(vectors, ["ann", "ann", "ann", "bob"], [1e-3]) == {1e-3: pytest.approx(1 / 3)}


def test_genuine_pairs_are_accepted_when_no_impostor_pair_has_two_faces() -> None:
    vectors = vectors_at(0, 120, 0)
    vectors[2] = np.nan
    assert rates(vectors, ["ann", "ann", "bob"], [1e-3]) == {1e-3: 1}


@given(st.integers(0, 2**32 - 1))
def test_tar_never_falls_with_far(seed: int) -> None:
    vectors = np.random.default_rng(seed).standard_normal((30, 4))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    fars = (1e-3, 1e-2, 1e-1, 0.5)
    found = rates(vectors, [str(number % 10) for number in range(30)], fars)
    assert [found[far] for far in fars] == sorted(found.values())
    assert all(0 <= tar <= 1 for tar in found.values())


def test_a_folder_without_genuine_or_impostor_pairs_is_refused() -> None:
    for people in (["ann", "ann"], ["ann", "bob"]):
        with pytest.raises(ValueError, match="two photos of one person, and two people"):
            rates(vectors_at(0, 10), people, [1e-3])


@given(folders())
def test_pairs_equal_those_of_a_plain_loop(folder: tuple[np.ndarray, list[str]]) -> None:
    vectors, people = folder
    genuine, impostors = every_pair(vectors, people)
    # Levels between the cosines that these vectors can have.
    levels = (-0.71234, 0.12345, 0.81234)
    found = compare(vectors, people, levels)
    assert (found.genuine_count, found.impostor_count) == (len(genuine), len(impostors))
    assert found.genuine.tolist() == pytest.approx(sorted((x for x in genuine if x > -2), reverse=True))
    assert found.closest.tolist() == pytest.approx(sorted((x for x in impostors if x > -2), reverse=True))
    for number, level in enumerate(levels):
        assert found.impostors_at[number].sum() == 2 * sum(cosine >= level for cosine in impostors)
        assert found.genuine_at[number].sum() == sum(cosine >= level for cosine in genuine)
        assert found.impostors_reaching[step_of(level)] == sum(cosine >= level for cosine in impostors)
        assert found.genuine_reaching[step_of(level)] == sum(cosine >= level for cosine in genuine)


@given(folders(), st.sampled_from([1e-9, 0.05, 0.3, 1]))
def test_tar_equals_that_of_a_plain_loop(folder: tuple[np.ndarray, list[str]], far: float) -> None:
    vectors, people = folder
    # Rounded, so that cosines that differ by rounding alone are equal.
    genuine, impostors = (np.round(cosines, 9) for cosines in every_pair(vectors, people))
    least = np.sort(impostors)[::-1][max(1, round(far * len(impostors))) - 1]
    assume(not np.isin(least, genuine))
    assert rates(vectors, people, [far])[far] == pytest.approx((genuine > least).mean())


def test_pairs_do_not_depend_on_the_size_of_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = np.random.default_rng(1).standard_normal((300, 8))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    people = [str(number % 90) for number in range(300)]
    whole = compare(vectors, people, (0.5,))
    monkeypatch.setattr(pairs_module, "ROWS", 7)
    monkeypatch.setattr(pairs_module, "KEPT_LEAST", 50)
    pieces = compare(vectors, people, (0.5,))
    kept = len(pieces.closest)
    assert 50 <= kept == np.ceil(0.02 * whole.impostor_count) < len(whole.closest)
    assert pieces.closest.tolist() == pytest.approx(whole.closest[:kept].tolist())
    assert (np.sort(pieces.closest_people, axis=1) == np.sort(whole.closest_people[:kept], axis=1)).all()
    assert (pieces.impostors_at == whole.impostors_at).all()
    assert (pieces.genuine_at == whole.genuine_at).all()
    assert pieces.genuine.tolist() == pytest.approx(whole.genuine.tolist())


@given(folders())
def test_error_curves_are_monotone_and_cross_at_the_equal_error_rate(folder: tuple[np.ndarray, list[str]]) -> None:
    found = compare(*folder)
    accepts, rejects = false_accept_curve(found), false_reject_curve(found)
    assert (np.diff(accepts) <= 0).all()
    assert (np.diff(rejects) >= 0).all()
    # At any threshold one of the two rates is at least the equal error rate, and the other at most.
    eer = equal_error_rate(found)
    assert np.minimum(accepts, rejects).max() - 1e-12 <= eer <= np.maximum(accepts, rejects).min() + 1e-12


def test_the_equal_error_rate_is_0_without_confusion_and_a_half_at_random() -> None:
    assert equal_error_rate(compare(vectors_at(0, 1, 90, 91), ["ann", "ann", "bob", "bob"])) == 0
    same = compare(np.tile(vectors_at(0), (4, 1)), ["ann", "ann", "bob", "bob"])
    assert equal_error_rate(same) == pytest.approx(0.5)


def test_a_probe_is_compared_with_the_first_photo_of_each_person() -> None:
    # Ann's second photo is next to Bob's first, and Bob's second next to Ann's first; Cem is far from both.
    vectors, people = vectors_at(0, 40, 50, 20, 180, 185), ["ann", "ann", "bob", "bob", "cem", "cem"]
    found = identify(vectors, people)
    assert found.ranks.tolist() == [2, 2, 1]
    assert found.gallery == 3
    assert (found.rate(1), found.rate(2)) == (pytest.approx(1 / 3), 1)


def test_a_tie_counts_against_the_right_person() -> None:
    assert identify(vectors_at(0, 0, 0), ["ann", "bob", "ann"]).ranks.tolist() == [2]


@pytest.mark.parametrize("faceless", [0, 1])
def test_a_probe_or_gallery_photo_without_a_face_has_the_last_rank(faceless: int) -> None:
    vectors = vectors_at(0, 0, 90)
    vectors[faceless] = np.nan
    assert identify(vectors, ["ann", "ann", "bob"]).ranks.tolist() == [3]


@given(folders())
def test_ranks_equal_those_of_a_plain_loop(folder: tuple[np.ndarray, list[str]]) -> None:
    vectors, people = folder
    first = {person: people.index(person) for person in people}
    expected = []
    for number, person in enumerate(people):
        if number == first[person]:
            continue
        own = np.dot(vectors[number], vectors[first[person]])
        others = [np.dot(vectors[number], vectors[i]) for name, i in first.items() if name != person]
        assume(all(abs(own - other) > 1e-9 for other in others))
        expected.append(len(first) + 1 if np.isnan(own) else 1 + sum(other > own for other in others))
    assert identify(vectors, people).ranks.tolist() == expected


def test_identification_without_a_probe_is_refused() -> None:
    with pytest.raises(ValueError, match="nobody has two photos"):
        identify(vectors_at(0, 90), ["ann", "bob"])


def test_expected_impostors_and_chance_of_one_in_a_gallery() -> None:
    assert expected_impostors(1e-3, 10_000) == pytest.approx(10)
    assert chance_of_impostor(1e-3, 10_000) == pytest.approx(1 - 0.999**10_000)
    assert (chance_of_impostor(0, 10**6), chance_of_impostor(1, 10)) == (0, 1)


@given(st.floats(0, 1), st.integers(1, 10**6))
def test_the_chance_of_an_impostor_is_at_most_their_expected_number(far: float, gallery: int) -> None:
    assert 0 <= chance_of_impostor(far, gallery) <= min(1, expected_impostors(far, gallery)) + 1e-12
