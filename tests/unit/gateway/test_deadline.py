"""The deadline of a request ends every wait in it, and does not run while the body arrives."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from gateway.dispatch.deadline import within
from gateway.dispatch.jobs import GRACE_S
from shared.errors import Unavailable

OVER = -GRACE_S
"""Seconds of a deadline that is over at once."""


async def run_within(seconds: float, steps: Callable[[], Awaitable[object]]) -> None:
    async with within(seconds):
        await steps()


async def test_a_step_that_does_not_end_in_time_is_unavailable() -> None:
    with pytest.raises(Unavailable):
        await run_within(OVER, asyncio.Event().wait)


async def test_all_steps_share_the_deadline() -> None:
    steps = 0

    async def many() -> None:
        nonlocal steps
        while True:
            steps += 1
            await asyncio.sleep(0.02)

    with pytest.raises(Unavailable):
        await run_within(0.05 - GRACE_S, many)
    assert steps > 1


async def test_clean_up_is_finished_after_the_deadline() -> None:
    released = []

    async def step() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            released.append(True)

    with pytest.raises(Unavailable):
        await run_within(OVER, step)
    assert released


async def test_the_deadline_is_paused_while_the_body_arrives() -> None:
    async with within(60) as deadline:
        before = deadline.unix_time
        with deadline.paused():
            await asyncio.sleep(0.05)
        assert deadline.unix_time - before > 0.04
        assert 59 < deadline.unix_time - time.time() <= 60


async def test_a_lifted_deadline_does_not_discard_an_outcome() -> None:
    async with within(0.05 - GRACE_S) as deadline:
        deadline.lift()
        await asyncio.sleep(0.1)


async def test_a_timeout_of_a_step_itself_is_not_taken_for_the_deadline() -> None:
    async def late() -> None:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        await run_within(60, late)
