"""A short run of `make fuzz` in every test run."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faults.clock import why_not
from fuzz import header_values, histories
from fuzz.in_process import classify
from fuzz.mutations import image
from fuzz.run import fuzz
from service import Service
from shared.contract import Status

pytestmark = pytest.mark.slow

REQUESTS = 400
HISTORIES = 100


def test_every_probe_gets_an_answer_of_the_contract_and_leaves_nothing_behind(service: Service) -> None:
    report = fuzz(service, seed=1, count=REQUESTS, warm_up=REQUESTS // 2)
    print(report.line())
    assert not report.problems, "\n".join(report.problems)
    assert not report.bad_lines, "".join(report.bad_lines)
    assert report.restarts == 0
    assert set(report.by_status) == set(Status) - {Status.FAIL}


@settings(max_examples=500, deadline=None)
@given(st.randoms(use_true_random=False))
def test_a_damaged_image_is_decoded_or_refused(random: object) -> None:
    assert classify(image(random)) in ("decoded", "refused by the gateway", "refused by the worker")


@settings(max_examples=500, deadline=None)
@given(st.randoms(use_true_random=False), st.sampled_from(header_values.HEADERS))
def test_a_header_is_read_or_refused(random: object, header: str) -> None:
    assert header_values.read(header_values.value(random), header) in ("read", "refused")


@pytest.mark.skipif(bool(why_not()), reason=why_not())
def test_promises_are_kept_with_hangs_and_kills_between_any_two_steps(tmp_path: Path) -> None:
    histories.search(tmp_path, HISTORIES)
