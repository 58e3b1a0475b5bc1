"""How much of a body may be its chunks."""

import asyncio
from unittest.mock import Mock

import pytest
from aiohttp import StreamReader

from gateway.http.framing import SPARE_BYTES, Framing


def body() -> StreamReader:
    """One that is fed by hand; its connection is only told to pause."""
    return StreamReader(Mock(), limit=2**16, loop=asyncio.get_running_loop())


async def come(size: int, number: int) -> bool:
    """Whether chunks of that size, so many of them and each a piece of its own, are too much."""
    framing, reader = Framing(), body()
    framing.receive(reader, 0)
    for _ in range(number):
        reader.feed_data(b"a" * size)
        framing.receive(reader, len(f"{size:x}\r\n\r\n") + size)
        if framing.is_excessive:
            return True
    return False


@pytest.mark.parametrize(
    ("size", "number", "excessive"),
    [
        (1, 10_000, False),
        (1, 20_000, True),
        (16, 50_000, True),
        (48, 50_000, False),
        (77, 50_000, False),
        (1000, 10_000, False),
    ],
)
async def test_small_chunks_are_a_matter_of_how_many(size: int, number: int, excessive: bool) -> None:
    assert await come(size, number) is excessive


async def test_each_body_is_judged_by_itself() -> None:
    framing = Framing()
    for _ in range(10):
        reader = body()
        framing.receive(reader, 1_000_000)  # with its headers, and with what came before
        framing.receive(reader, SPARE_BYTES)
        assert not framing.is_excessive
        framing.receive(None, 1_000_000)
        assert not framing.is_excessive
