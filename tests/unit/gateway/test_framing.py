"""How much of a chunked body may be framing."""

import asyncio
from unittest.mock import Mock

import pytest
from aiohttp import StreamReader

from gateway.http.framing import SPARE_BYTES, Framing


def make_body() -> StreamReader:
    """Return a body that is fed by the test; its connection does nothing."""
    return StreamReader(Mock(), limit=2**16, loop=asyncio.get_running_loop())


async def is_excessive(size: int, number: int) -> bool:
    """Return whether a body of that many chunks of that size, each arriving alone, is refused."""
    framing, reader = Framing(), make_body()
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
async def test_small_chunks_are_refused_when_they_are_many(size: int, number: int, excessive: bool) -> None:
    assert await is_excessive(size, number) is excessive


async def test_each_body_is_counted_by_itself() -> None:
    framing = Framing()
    for _ in range(10):
        reader = make_body()
        framing.receive(reader, 1_000_000)  # with its headers and the data before it
        framing.receive(reader, SPARE_BYTES)
        assert not framing.is_excessive
        framing.receive(None, 1_000_000)
        assert not framing.is_excessive
