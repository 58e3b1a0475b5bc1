"""A short run of `make soak` in every test run."""

from pathlib import Path

import pytest

from https_receiver import receiving, webhooks_to
from service import Service
from soak.run import soak

pytestmark = pytest.mark.slow

SECONDS = 15
REQUESTS = 10 * SECONDS
PATIENT = {"FACESEARCH_DEADLINE_S": "60"}
"""A deadline that a busy machine keeps; `make soak` uses the default."""


@pytest.mark.embedded("it looks into servers of its own")
def test_a_mix_of_all_calls_loses_nothing_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with (
        receiving(tmp_path) as receiver,
        Service(tmp_path / "data", PATIENT | webhooks_to(receiver)) as service,  # its own: all its keys are counted
    ):
        report = soak(service, SECONDS / 60, seed=1, every_s=0.5, least=REQUESTS, hostile=False, receiver=receiver)
    print(report.line())
    assert not report.lost
    assert not report.doubled
    assert not report.problems, "\n".join(report.problems)
    assert report.restarts == 0
    assert report.requests >= REQUESTS
