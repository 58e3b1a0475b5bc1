"""What `facesearch facedbs confidence` says of a confidence."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facesearch.cli.confidence import one_in, sentence
from shared.confidence import Level

LEVEL = Level(
    confidence=80,
    meant=1e-3,
    cosine=0.37,
    rate=1 / 190,
    low=1 / 240,
    high=1 / 150,
    counted=True,
    told=True,
    own=0.41,
    error=0.01,
    ask=87.91,
)


def said(**changed: Any) -> str:
    return sentence(LEVEL.model_copy(update=changed))


def test_a_confidence_that_too_many_strangers_reach() -> None:
    assert said() == (
        "80 is reached by 1 stranger in 190 (150 to 240), where 1 in 1,000 is meant. "
        "For what 80 means elsewhere, ask for 88 here."
    )


def test_a_confidence_that_holds() -> None:
    assert said(rate=1 / 940, low=1 / 1100, high=1 / 800) == (
        "80 is reached by 1 stranger in 940 (800 to 1,100), and 1 in 1,000 is meant: it holds here."
    )


def test_a_confidence_of_which_nothing_can_be_said() -> None:
    assert said(told=False) == "Of 80 nothing can be said: there are too few faces."


def test_what_is_asked_for_is_rounded_up() -> None:
    assert "ask for 87.4 here" in said(ask=87.31)
    assert "ask for 87.3 here" in said(ask=87.3)


@pytest.mark.parametrize(
    ("rate", "words"),
    [
        (1.0, "1 in 1"),
        (0.4, "1 in 2.5"),
        (1 / 12.34, "1 in 12"),
        (1 / 123456, "1 in 120,000"),
        (1e-300, "1 in over 1,000,000,000"),
        (0.0, "1 in over 1,000,000,000"),
    ],
)
def test_rates_have_two_figures(rate: float, words: str) -> None:
    assert one_in(rate) == words


@given(st.floats(0, 1))
def test_every_rate_has_words(rate: float) -> None:
    assert one_in(rate, "stranger").startswith("1 stranger in ")
    assert len(one_in(rate)) < 30
