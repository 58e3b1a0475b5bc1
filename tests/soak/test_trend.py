"""Slopes are correct, and only a significant slope counts as growth."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuzz.mutations import seeded
from soak.trend import HOUR_S, trend

values = st.floats(-1e6, 1e6)
slopes = st.floats(-1e3, 1e3)
counts = st.integers(3, 60)


@given(values, slopes, counts)
def test_a_straight_line_is_found_without_error(start: float, per_h: float, count: int) -> None:
    seconds = [10.0 * number for number in range(count)]
    found = trend(seconds, [start + per_h * at / HOUR_S for at in seconds])
    assert found.per_h == pytest.approx(per_h, abs=1e-2)
    assert found.first == pytest.approx(start, abs=1e-3)
    assert found.last == pytest.approx(start + per_h * seconds[-1] / HOUR_S, abs=1e-3)
    assert found.error < 0.1


@given(st.lists(values, min_size=3, max_size=40), values)
def test_the_slope_does_not_depend_on_the_level(measured: list[float], more: float) -> None:
    seconds = [5.0 * number for number in range(len(measured))]
    plain, raised = trend(seconds, measured), trend(seconds, [value + more for value in measured])
    assert raised.per_h == pytest.approx(plain.per_h, abs=1e-1)
    assert raised.error == pytest.approx(plain.error, rel=1e-3, abs=1e-1)


@given(st.integers(0, 10_000))
def test_noise_alone_is_not_growth(seed: int) -> None:
    random = seeded(seed, 0)
    seconds = [5.0 * number for number in range(200)]
    found = trend(seconds, [100 + random.gauss(0, 5) for _ in seconds])
    assert not found.exceeds(16, 8)


def test_a_leak_under_noise_is_growth() -> None:
    random = seeded(1, 0)
    seconds = [5.0 * number for number in range(240)]
    found = trend(seconds, [100 + 60 * at / HOUR_S + random.gauss(0, 5) for at in seconds])
    assert found.exceeds(16, 8)
    assert not found.exceeds(60, 8), "no faster than it is"
    assert not found.exceeds(16, 30), "and no more than it has grown"


def test_steps_have_a_larger_error_than_noise_of_the_same_size() -> None:
    seconds = [5.0 * number for number in range(200)]
    wave = [100 + 5 * (-1) ** number for number in range(200)]
    steps = [100 + 5 * (-1) ** (number // 50) for number in range(200)]
    assert trend(seconds, steps).error > 5 * trend(seconds, wave).error


def test_measurements_that_define_no_line_are_refused() -> None:
    with pytest.raises(ValueError, match="three"):
        trend([1, 2], [1, 2])
    with pytest.raises(ValueError, match="different times"):
        trend([1, 1, 1], [1, 2, 3])
