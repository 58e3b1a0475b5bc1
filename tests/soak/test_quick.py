"""A little of `make soak` in every test run."""

import pytest

from service import Service
from soak.run import soak

SECONDS = 15


@pytest.mark.embedded("it looks into servers of its own")
def test_all_calls_good_and_bad_lose_nothing_and_leave_nothing_behind(service: Service) -> None:
    report = soak(service, SECONDS / 60, seed=1, every_s=0.5, hostile=False)
    print(report.line())
    assert not report.lost
    assert not report.doubled
    assert not report.problems, "\n".join(report.problems)
    assert report.restarts == 0
    assert report.requests > 10 * SECONDS
