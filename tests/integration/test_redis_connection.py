"""Commands of many over one connection of a real broker: each gets its own answer, and a lost connection is one."""

import asyncio
from pathlib import Path

import pytest
from redis import RedisError
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from gateway import redis_connection as module
from gateway.redis_connection import Line, Script
from processes import broker
from shared.redis_clients import connect


async def test_each_command_has_its_own_answer(line: Line) -> None:
    async def one(number: int) -> bool:
        await line.call("SET", f"k{number}", number)
        return bool(await line.call("GET", f"k{number}") == str(number).encode())

    assert all(await asyncio.gather(*(one(number) for number in range(500))))


async def test_all_of_them_share_a_connection(redis: Redis, line: Line) -> None:
    before = int((await redis.info("clients"))["connected_clients"])
    await asyncio.gather(*(line.call("PING") for _ in range(100)))
    assert int((await redis.info("clients"))["connected_clients"]) == before + 1


async def test_a_refused_command_fails_alone(line: Line) -> None:
    await line.call("SET", "k", "text")
    good, bad, also_good = await asyncio.gather(
        line.call("GET", "k"), line.call("LLEN", "k"), line.call("STRLEN", "k"), return_exceptions=True
    )
    assert (good, also_good) == (b"text", 4)
    assert isinstance(bad, ResponseError)


async def test_who_gives_up_takes_no_answer_of_another(line: Line) -> None:
    await line.call("SET", "k", "right")
    asked = [asyncio.create_task(line.call("ECHO", f"wrong {number}")) for number in range(10)]
    await asyncio.sleep(0)
    for task in asked[::2]:
        task.cancel()
    assert await line.call("GET", "k") == b"right"
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert answers[1::2] == [f"wrong {number}".encode() for number in range(1, 10, 2)]


async def test_large_and_binary_values_come_back_whole(line: Line) -> None:
    value = bytes(range(256)) * 8192
    await line.call("SET", "k", value)
    assert await line.call("GET", "k") == value


async def test_a_script_that_the_broker_forgot_is_sent_again(redis: Redis, line: Line) -> None:
    script = Script("return KEYS[1] .. ARGV[1]")
    for _ in range(2):
        assert await line.run(script, ["a"], ["b"]) == b"ab"
        await redis.script_flush()


@pytest.mark.embedded("it stops its Redis and starts it again")
async def test_it_finds_a_broker_that_comes_back(tmp_path: Path) -> None:
    with broker(tmp_path) as url:
        redis = connect(url)
        line = Line(redis)
        await line.call("PING")
        blocked = asyncio.create_task(line.call("BLPOP", "nothing", 0))
        await asyncio.sleep(0)
    with pytest.raises(RedisError):
        await blocked
    with pytest.raises((RedisError, OSError)):
        await line.call("PING")
    with broker(tmp_path):
        assert await line.call("PING") == b"PONG"
        await line.aclose()
        await redis.aclose()


async def test_a_broker_that_does_not_answer_is_lost(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SOCKET_TIMEOUT_S", 0.2)
    first, second = await asyncio.gather(
        line.call("BLPOP", "nothing", 0), line.call("BLPOP", "nothing", 0), return_exceptions=True
    )
    assert isinstance(first, RedisError)
    assert isinstance(second, RedisError)
    assert await line.call("PING") == b"PONG"


async def test_what_waits_when_it_is_closed_is_told(line: Line) -> None:
    await line.call("PING")
    blocked = asyncio.create_task(line.call("BLPOP", "nothing", 0))
    await asyncio.sleep(0)
    await line.aclose()
    with pytest.raises(RedisError):
        await blocked


async def test_one_that_does_not_answer_is_lost_though_nobody_waits_for_long(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SOCKET_TIMEOUT_S", 1)
    asked = asyncio.create_task(line.call("BLPOP", "nothing", 0))
    await asyncio.sleep(0.1)
    asked.cancel()  # as a request does whose deadline is nearer
    await asyncio.sleep(1)
    assert await line.call("PING") == b"PONG"
