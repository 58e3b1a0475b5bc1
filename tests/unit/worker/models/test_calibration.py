import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.models.calibration import SFACE, Calibration

cosines = st.floats(-1, 1)
confidences = st.floats(0, 100)


@pytest.mark.parametrize(("cosine", "confidence"), SFACE.points)
def test_a_calibration_passes_through_its_points(cosine, confidence):
    assert SFACE.confidence(cosine) == confidence
    assert SFACE.cosine(confidence) == pytest.approx(cosine, abs=1e-12)


def test_the_thresholds_of_the_contract():
    assert SFACE.cosine(80) == pytest.approx(0.37)
    assert SFACE.cosine(95) == pytest.approx(0.47)
    assert SFACE.confidence(1.0) == 100
    assert SFACE.confidence(0.9999) == 100


@given(cosines, cosines)
def test_confidence_is_monotone_and_within_0_and_100(a, b):
    low, high = sorted((a, b))
    assert 0 <= SFACE.confidence(low) <= SFACE.confidence(high) <= 100


@given(confidences)
def test_cosine_is_the_smallest_that_reaches_the_confidence(confidence):
    cosine = SFACE.cosine(confidence)
    assert SFACE.confidence(cosine) >= confidence
    assert cosine == -1 or SFACE.confidence(cosine - 1e-9) < confidence


@given(cosines)
def test_cosine_and_confidence_are_inverse(cosine):
    assert SFACE.cosine(SFACE.confidence(cosine)) == pytest.approx(min(cosine, 0.9999), abs=1e-9)


def test_cosines_beyond_the_scale_count_as_its_ends():
    assert SFACE.confidence(1.0000002) == 100
    assert SFACE.confidence(-1.0000002) == 0
    assert SFACE.cosine(-5) == -1


@pytest.mark.parametrize("confidence", [100.001, math.inf, math.nan])
def test_an_unreachable_confidence_is_refused(confidence):
    with pytest.raises(ValueError, match=r"above 100|not a number"):
        SFACE.cosine(confidence)


def test_nan_is_refused():
    with pytest.raises(ValueError, match="not a number"):
        SFACE.confidence(math.nan)


@pytest.mark.parametrize(
    "points",
    [
        (),
        ((-1, 0),),
        ((-0.9, 0), (1, 100)),
        ((-1, 1), (1, 100)),
        ((-1, 0), (1, 99)),
        ((-1, 0), (1.1, 100)),
        ((-1, 0), (0.5, 50), (0.4, 60), (1, 100)),
        ((-1, 0), (0.5, 50), (0.6, 50), (1, 100)),
        ((-1, 0), (0.5, 50), (0.5, 60), (1, 100)),
        ((-1, 0), (math.nan, 50), (1, 100)),
    ],
)
def test_points_that_do_not_rise_are_refused(points):
    with pytest.raises(ValueError, match="calibration"):
        Calibration(points)


@pytest.mark.parametrize("cosine", [0.0, 5e-324, -5e-324, 1e-300, -1e-300, 1e-17, -1e-17])
def test_the_inverse_takes_few_steps_near_zero_where_floats_are_dense(cosine):
    confidence = SFACE.confidence(cosine)
    back = SFACE.cosine(confidence)
    assert SFACE.confidence(back) >= confidence
    assert back == pytest.approx(cosine, abs=1e-9)


@given(st.floats(-1e-12, 1e-12))
def test_cosine_and_confidence_are_inverse_near_zero(cosine):
    assert SFACE.cosine(SFACE.confidence(cosine)) == pytest.approx(cosine, abs=1e-9)
