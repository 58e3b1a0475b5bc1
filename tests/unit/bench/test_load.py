"""When the load generator sends requests, and how it reports their answers; a function stands in for the service."""

import asyncio
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from load import Seen, arrivals, closed_loop, closed_report, open_loop, open_report


@given(st.floats(1, 500), st.floats(0.1, 5), st.integers())
def test_arrivals_are_sorted_within_the_period_and_reproducible(rate: float, seconds: float, seed: int) -> None:
    due = arrivals(rate, seconds, seed)
    assert due == sorted(due) == arrivals(rate, seconds, seed)
    assert all(0 <= at < seconds for at in due)


def test_arrivals_have_the_rate_and_the_variance_of_a_poisson_process() -> None:
    due = arrivals(100, 100)
    gaps = [later - earlier for earlier, later in pairwise(due)]
    mean = sum(gaps) / len(gaps)
    assert mean == pytest.approx(0.01, rel=0.05)
    # The gaps of a Poisson process have the same standard deviation as mean.
    assert sum((gap - mean) ** 2 for gap in gaps) / len(gaps) == pytest.approx(mean**2, rel=0.1)


async def test_a_closed_loop_sends_the_next_request_only_after_an_answer() -> None:
    asked: list[int] = []
    open_now = most = 0

    async def ask(number: int) -> str:
        nonlocal open_now, most
        asked.append(number)
        open_now += 1
        most = max(most, open_now)
        await asyncio.sleep(0)
        open_now -= 1
        return "OK"

    seen, counted = await closed_loop(ask, 3, 0.01)
    assert most == 3
    assert len(seen) == len(asked)
    assert sorted(asked)[:3] == [0, 1, 2]
    assert len(set(asked)) == len(asked)
    assert counted >= sorted(one.answered for one in seen)[2], "counting starts once each caller has had an answer"


async def test_an_open_loop_does_not_wait_for_answers() -> None:
    release = asyncio.Event()
    asked: list[int] = []

    async def ask(number: int) -> str:
        asked.append(number)
        if len(asked) == 5:
            release.set()
        await release.wait()
        return "OK"

    seen = await open_loop(ask, [0.0] * 5)
    assert sorted(asked) == [0, 1, 2, 3, 4]
    assert [one.status for one in seen] == ["OK"] * 5


def test_a_closed_report_covers_the_counted_period() -> None:
    seen = [
        Seen(0.0, 0.0, 0.9, "OK"),
        Seen(0.9, 0.9, 1.0, "OK"),
        Seen(1.0, 1.0, 1.2, "NO_SIMILAR_FACE"),
        Seen(1.2, 1.2, 1.3, "FAIL"),
        Seen(2.8, 2.8, 3.0, "OK"),
    ]
    report = closed_report(seen, 1.0, 2.0)
    assert report["requests"] == 5
    assert report["answers"] == {"OK": 1, "NO_SIMILAR_FACE": 1, "FAIL": 1}
    assert report["per_second"] == 1.0, "a FAIL is no answer"
    assert report["p50_ms"] == pytest.approx(150)


def test_an_open_report_separates_refusals_from_late_failures() -> None:
    seen = [
        Seen(0.1, 0.1, 0.6, "OK"),  # during the ramp
        Seen(1.0, 1.25, 1.5, "OK"),
        Seen(1.5, 1.5, 5.0, "OK"),  # after the end of the arrivals
        Seen(2.0, 2.0, 2.002, "FAIL"),
        Seen(2.0, 2.0, 6.0, "FAIL"),
        Seen(2.0, 2.0, 62.0, "TIMEOUT"),
        Seen(2.0, 2.0, 2.1, "BROKEN"),
    ]
    report = open_report(seen, 3.0)
    assert report["per_second"] == 0.5
    assert report["answers"] == {"OK": 3, "FAIL": 2, "TIMEOUT": 1, "BROKEN": 1}
    assert report["p50_ms"] == 500, "measured from when it was due"
    assert report["longest_ms"] == 3500
    assert report["refused"]["count"] == 1
    assert report["refused"]["p50_ms"] == 2
    assert report["in_vain"]["count"] == 3
    assert report["in_vain"]["p50_ms"] == 4000
    assert report["sent_late_p99_ms"] == pytest.approx(235)
