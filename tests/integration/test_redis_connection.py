"""Commands of many callers over one connection of a real broker: each gets its own answer, and a lost connection is
noticed.
"""

import asyncio
from pathlib import Path

import pytest
from redis import RedisError
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from gateway import redis_connection as module
from gateway.redis_connection import Script, SharedConnection
from processes import broker
from shared.redis_clients import connect


async def test_each_command_gets_its_own_answer(connection: SharedConnection) -> None:
    async def one(number: int) -> bool:
        await connection.call("SET", f"k{number}", number)
        return bool(await connection.call("GET", f"k{number}") == str(number).encode())

    assert all(await asyncio.gather(*(one(number) for number in range(500))))


async def test_all_commands_share_a_connection(redis: Redis, connection: SharedConnection) -> None:
    before = int((await redis.info("clients"))["connected_clients"])
    await asyncio.gather(*(connection.call("PING") for _ in range(100)))
    assert int((await redis.info("clients"))["connected_clients"]) == before + 1


async def test_a_refused_command_fails_alone(connection: SharedConnection) -> None:
    await connection.call("SET", "k", "text")
    good, bad, also_good = await asyncio.gather(
        connection.call("GET", "k"),
        connection.call("LLEN", "k"),
        connection.call("STRLEN", "k"),
        return_exceptions=True,
    )
    assert (good, also_good) == (b"text", 4)
    assert isinstance(bad, ResponseError)


async def test_a_cancelled_command_takes_no_answer_of_another(connection: SharedConnection) -> None:
    await connection.call("SET", "k", "right")
    asked = [asyncio.create_task(connection.call("ECHO", f"wrong {number}")) for number in range(10)]
    await asyncio.sleep(0)
    for task in asked[::2]:
        task.cancel()
    assert await connection.call("GET", "k") == b"right"
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert answers[1::2] == [f"wrong {number}".encode() for number in range(1, 10, 2)]


async def test_large_and_binary_values_are_returned_unchanged(connection: SharedConnection) -> None:
    value = bytes(range(256)) * 8192
    await connection.call("SET", "k", value)
    assert await connection.call("GET", "k") == value


async def test_a_script_that_the_broker_forgot_is_sent_again(redis: Redis, connection: SharedConnection) -> None:
    script = Script("return KEYS[1] .. ARGV[1]")
    for _ in range(2):
        assert await connection.run(script, ["a"], ["b"]) == b"ab"
        await redis.script_flush()


@pytest.mark.embedded("it stops its Redis and starts it again")
async def test_a_restarted_broker_is_reached_again(tmp_path: Path) -> None:
    with broker(tmp_path) as url:
        redis = connect(url)
        connection = SharedConnection(redis)
        await connection.call("PING")
        blocked = asyncio.create_task(connection.call("BLPOP", "nothing", 0))
        await asyncio.sleep(0)
    with pytest.raises(RedisError):
        await blocked
    with pytest.raises((RedisError, OSError)):
        await connection.call("PING")
    with broker(tmp_path):
        assert await connection.call("PING") == b"PONG"
        await connection.aclose()
        await redis.aclose()


async def test_a_broker_that_does_not_answer_is_an_error_and_the_next_connection_works(
    connection: SharedConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SOCKET_TIMEOUT_S", 0.2)
    first, second = await asyncio.gather(
        connection.call("BLPOP", "nothing", 0), connection.call("BLPOP", "nothing", 0), return_exceptions=True
    )
    assert isinstance(first, RedisError)
    assert isinstance(second, RedisError)
    assert await connection.call("PING") == b"PONG"


async def test_closing_fails_waiting_commands(connection: SharedConnection) -> None:
    await connection.call("PING")
    blocked = asyncio.create_task(connection.call("BLPOP", "nothing", 0))
    await asyncio.sleep(0)
    await connection.aclose()
    with pytest.raises(RedisError):
        await blocked


async def test_an_unanswered_connection_is_replaced_although_no_command_waits_for_long(
    connection: SharedConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SOCKET_TIMEOUT_S", 1)
    asked = asyncio.create_task(connection.call("BLPOP", "nothing", 0))
    await asyncio.sleep(0.1)
    asked.cancel()  # as a request does that has a nearer deadline
    await asyncio.sleep(1)
    assert await connection.call("PING") == b"PONG"
