"""The checks that all stores share."""

import uuid

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from worker.models.identity import Identity
from worker.store.base import (
    UNIT_TOLERANCE,
    IdentityMismatch,
    InvalidVector,
    Match,
    Vector,
    check_identity,
    check_vectors,
    ranked,
)

OURS = Identity("sface", "ab" * 32, 1, 4)


def axis(length: float = 1) -> Vector:
    return np.array([length, 0, 0, 0], np.float32)


def test_unit_vectors_pass() -> None:
    check_vectors([], 4)
    check_vectors([axis(), -axis()], 4)


@pytest.mark.parametrize("off", [0.9, -0.9, 0])
def test_a_length_within_the_tolerance_passes(off: float) -> None:
    check_vectors([axis(1 + off * UNIT_TOLERANCE)], 4)


@pytest.mark.parametrize("length", [0, 1 + 1.1 * UNIT_TOLERANCE, 1 - 1.1 * UNIT_TOLERANCE, 3e38, np.inf, np.nan])
def test_any_other_length_is_refused(length: float) -> None:
    with pytest.raises(InvalidVector, match="length"):
        check_vectors([axis(), axis(length)], 4)


@pytest.mark.parametrize("shape", [(3,), (5,), (0,), (), (1, 4), (4, 1)])
def test_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InvalidVector, match="shape"):
        check_vectors([np.ones(shape, np.float32)], 4)


@given(hnp.arrays(np.float32, 4, elements=st.floats(width=32)))
def test_accepted_vectors_are_finite_and_of_unit_length(vector: Vector) -> None:
    try:
        check_vectors([vector], 4)
    except InvalidVector:
        return
    assert np.isfinite(vector).all()
    assert np.linalg.norm(vector) == pytest.approx(1, abs=2 * UNIT_TOLERANCE)


def test_an_error_quotes_no_value_of_the_vector() -> None:
    with pytest.raises(InvalidVector) as refused:
        check_vectors([np.array([0.123456, 0.654321, 2, 0], np.float32)], 4)
    assert str(refused.value) == "length 2.108 where 1 is needed"


def test_the_same_identity_passes() -> None:
    check_identity("db", str(OURS), OURS)


@pytest.mark.parametrize(
    "stored", [None, "", "nonsense", str(Identity("sface", "ab" * 32, 2, 4)), str(Identity("other", "ab" * 32, 1, 4))]
)
def test_any_other_identity_is_refused(stored: str | None) -> None:
    with pytest.raises(IdentityMismatch, match=r"collection db .* this worker makes sface"):
        check_identity("db", stored, OURS)


def test_ranked_sorts_filters_and_clamps() -> None:
    ids = [uuid.UUID(int=number) for number in range(5)]
    found = [(ids[3], "d", 0.5), (ids[0], "a", 0.2), (ids[2], "c", 1.0000001), (ids[1], "b", 0.5), (ids[4], "e", 1.0)]
    assert ranked(found, 0.5) == [
        Match(ids[2], "c", 1),
        Match(ids[4], "e", 1),
        Match(ids[1], "b", 0.5),
        Match(ids[3], "d", 0.5),
    ]
    assert ranked([(ids[0], "a", -1.0000001)], -1) == [Match(ids[0], "a", -1)]
    assert ranked([], -1) == []
