"""Libraries of which the truth is known, for the benchmark of estimates."""

from collections import Counter

import confidence
import pytest
from confidence import KINDS, made_up, measure, people_of


@pytest.mark.parametrize("kind", KINDS)
def test_a_library_has_as_many_faces_as_asked_for_and_photos_of_its_kind(kind: str) -> None:
    photos = Counter(people_of(1000, kind).tolist())
    assert sum(photos.values()) == 1000
    expected = {
        "nobody twice": {1: 1000},
        "5 % twice": {1: 900, 2: 50},
        "5 % of five photos": {1: 940, 5: 12},
        "everybody twice": {2: 500},
        "everybody five times": {5: 200},
    }
    assert Counter(photos.values()) == expected[kind]


def test_a_measurement_compares_estimated_with_counted_rates() -> None:
    population = made_up("like SFace's", {1.0: 0.0}, 1500, 1)
    row = measure(population, 600, "5 % twice", 2)
    assert (row["population"], row["faces"], row["rounds"]) == ("like SFace's", 600, 2)
    assert 0.5 < row["least"]["80"] <= row["ratio"]["80"] <= row["most"]["80"] < 2
    assert row["held"]["80"] in (0.0, 0.5, 1.0)


def test_a_confidence_that_no_pair_reaches_is_left_out() -> None:
    population = made_up("few", {1.0: 0.0}, 600, 1)
    assert "97" not in measure(population, 500, "nobody twice", 1)["ratio"]
    assert confidence.JUDGED[-1] == 97
