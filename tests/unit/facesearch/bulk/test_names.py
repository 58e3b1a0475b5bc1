"""The names that services take, before they are asked."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facesearch.bulk.names import Fit, fit
from shared.contract import LONGEST_NAME, NAME


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("", Fit.ALWAYS),
        ("Ann7", Fit.ALWAYS),
        ("a" * LONGEST_NAME, Fit.ALWAYS),
        ("Aaron_Eckhart", Fit.WHERE_FREE),
        ("山田", Fit.WHERE_FREE),
        ("a" * (LONGEST_NAME + 1), Fit.NEVER),
        ("Ann\n", Fit.NEVER),
        ("\udcff", Fit.NEVER),
    ],
)
def test_examples(name: str, expected: Fit) -> None:
    assert fit(name) is expected


@given(st.text(max_size=200))
def test_strict_names_are_those_of_the_contract(name: str) -> None:
    assert (fit(name) is Fit.ALWAYS) == (NAME.fullmatch(name) is not None)
