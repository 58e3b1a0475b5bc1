"""How well people are told apart."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recognition import true_accepts


def at(*degrees: float) -> np.ndarray:
    """Unit vectors in a plane: their cosines are those of the angles between them."""
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def test_pairs_of_a_person_are_accepted_when_more_alike_than_that_part_of_strangers() -> None:
    vectors, people = at(0, 10, 50, 80, 95), ["ann", "ann", "ann", "bob", "bob"]
    # Ann's photos are 10, 40 and 50 degrees apart, Bob's 15; of the six pairs of both the closest are 30 and 45.
    assert true_accepts(vectors, people, [1e-9]) == {1e-9: pytest.approx(2 / 4)}
    assert true_accepts(vectors, people, [2 / 6]) == {2 / 6: pytest.approx(3 / 4)}


def test_a_photo_without_a_face_is_never_accepted() -> None:
    vectors = at(0, 1, 0, 90)
    vectors[2] = np.nan
    assert true_accepts(vectors, ["ann", "ann", "ann", "bob"], [1e-3]) == {1e-3: pytest.approx(1 / 3)}


@given(st.integers(0, 2**32 - 1))
def test_more_false_accepts_never_mean_fewer_true_ones(seed: int) -> None:
    vectors = np.random.default_rng(seed).standard_normal((30, 4))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    fars = (1e-3, 1e-2, 1e-1, 0.5)
    found = true_accepts(vectors, [str(number % 10) for number in range(30)], fars)
    assert [found[far] for far in fars] == sorted(found.values())
    assert all(0 <= tar <= 1 for tar in found.values())


def test_without_pairs_of_both_kinds_there_is_nothing_to_tell() -> None:
    for people in (["ann", "ann"], ["ann", "bob"]):
        with pytest.raises(ValueError, match="two photos of one person, and two people"):
            true_accepts(at(0, 10), people, [1e-3])
