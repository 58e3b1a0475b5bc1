"""The one deadline of a request: whatever is waited for ends with it, and only the body's time does not count."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from gateway.dispatch.deadline import within
from gateway.dispatch.jobs import GRACE_S
from shared.errors import Unavailable

OVER = -GRACE_S
"""Of a deadline that is over at once."""


async def under(seconds: float, steps: Callable[[], Awaitable[object]]) -> None:
    async with within(seconds):
        await steps()


async def test_what_does_not_end_in_time_is_unavailable() -> None:
    with pytest.raises(Unavailable):
        await under(OVER, asyncio.Event().wait)


async def test_several_steps_have_it_together() -> None:
    steps = 0

    async def many() -> None:
        nonlocal steps
        while True:
            steps += 1
            await asyncio.sleep(0.02)

    with pytest.raises(Unavailable):
        await under(0.05 - GRACE_S, many)
    assert steps > 1


async def test_what_is_let_go_in_the_end_is_let_go() -> None:
    released = []

    async def holding() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            released.append(True)

    with pytest.raises(Unavailable):
        await under(OVER, holding)
    assert released


async def test_the_body_has_time_of_its_own() -> None:
    async with within(60) as deadline:
        before = deadline.unix_time
        with deadline.paused():
            await asyncio.sleep(0.05)
        assert deadline.unix_time - before > 0.04
        assert 59 < deadline.unix_time - time.time() <= 60


async def test_an_outcome_that_is_there_is_not_taken_away() -> None:
    async with within(0.05 - GRACE_S) as deadline:
        deadline.lift()
        await asyncio.sleep(0.1)


async def test_a_step_that_is_late_by_its_own_measure_is_not_the_deadline() -> None:
    async def late() -> None:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        await under(60, late)
