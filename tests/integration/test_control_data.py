"""Control data of a real Redis in a backup: it is consistent, and restored elsewhere."""

import asyncio
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from redis import Redis

from facesearch.backup import control_data
from facesearch.backup.consistency import Consistency
from facesearch.backup.control_data import BATCH, Entry
from processes import empty_redis
from shared.control import DEFAULT, Control, Key
from shared.redis_clients import connect


@pytest.fixture
def redis(valkey_url: str) -> Iterator[Redis]:
    with Redis.from_url(valkey_url) as client:
        yield client


async def change(url: str, stop: threading.Event) -> int:
    """Create and drop tenants, keys and facedbs until `stop` is set. Returns how often."""
    rounds = 0
    async with connect(url) as client:
        control = Control(client)
        while not stop.is_set():
            await control.create_tenant("shop")
            key, _ = await control.create_key("shop", "till")
            await control.create_facedb("shop", "staff")
            await control.revoke_key("shop", key.id)
            await control.drop_facedb("shop", "staff")
            await control.drop_tenant("shop")
            rounds += 1
    return rounds


def test_the_copy_is_consistent_during_changes(redis: Redis, valkey_url: str) -> None:
    asyncio.run(_tenant(valkey_url))
    stop, rounds = threading.Event(), []
    changing = threading.Thread(target=lambda: rounds.append(asyncio.run(change(valkey_url, stop))))
    changing.start()
    try:
        seen = set()
        end = time.monotonic() + 2
        while time.monotonic() < end:
            entries = control_data.kept(redis)
            assert list(Consistency(entries).problems()) == []
            assert all(entry.is_sound() for entry in entries)
            seen.add(len(entries))
    finally:
        stop.set()
        changing.join()
    assert rounds[0] > 1
    assert len(seen) > 1, "it was read in different states"


async def _tenant(url: str) -> None:
    async with connect(url) as client:
        await Control(client).create_tenant(DEFAULT)


def test_keys_keep_their_expiry(redis: Redis, valkey_url: str, tmp_path: Path) -> None:
    async def create() -> str:
        async with connect(valkey_url) as client:
            control = Control(client)
            await control.create_tenant(DEFAULT)
            in_an_hour = datetime.now(UTC) + timedelta(hours=1)
            return (await control.create_key(DEFAULT, "till", expires=in_an_hour))[1]

    secret = asyncio.run(create())
    (tmp_path / "other").mkdir()
    with empty_redis(tmp_path / "other") as url, Redis.from_url(url) as other:
        control_data.put(other, control_data.kept(redis), [])
        (key,) = (name for name in redis.scan_iter("fs:key:*"))
        assert abs(other.pttl(key) - redis.pttl(key)) < 2000

        async def opens() -> bool:
            async with connect(url) as client:
                return await Control(client).key(secret) is not None

        assert asyncio.run(opens())


def test_keys_keep_their_answer_options(redis: Redis, valkey_url: str, tmp_path: Path) -> None:
    async def create() -> tuple[Key, str]:
        async with connect(valkey_url) as client:
            control = Control(client)
            await control.create_tenant(DEFAULT)
            return await control.create_key(DEFAULT, "till", http_status="always-200", confidence="whole")

    async def found(url: str, secret: str) -> Key | None:
        async with connect(url) as client:
            return await Control(client).key(secret)

    made, secret = asyncio.run(create())
    (tmp_path / "other").mkdir()
    with empty_redis(tmp_path / "other") as url, Redis.from_url(url) as other:
        lines = [entry.line() for entry in control_data.kept(redis)]
        control_data.put(other, [Entry.parse(line) for line in lines], [])
        assert asyncio.run(found(url, secret)) == made
        assert (made.http_status, made.confidence) == ("always-200", "whole")


def test_expired_keys_are_not_restored(redis: Redis) -> None:
    past = int(time.time() * 1000) - 1
    control_data.put(redis, [Entry("fs:key:x", "string", "{}", past)], [Entry("fs:once:t:x", "hash", {"a": "b"}, past)])
    assert redis.keys("*") == []


def test_more_records_than_a_batch_are_restored(redis: Redis) -> None:
    records = [Entry(f"fs:once:t:{number}", "hash", {"asked": str(number)}) for number in range(2 * BATCH + 1)]
    redis.rpush("fs:once:t:other", "x")
    control_data.put(redis, [], records)
    assert sorted(control_data.records(redis), key=lambda entry: entry.key) == sorted(records, key=lambda e: e.key)


def test_binary_values_are_restored(redis: Redis) -> None:
    redis.hset("fs:once:t:x", mapping={b"\xff": bytes(range(256))})
    (entry,) = control_data.records(redis)
    again = Entry.parse(entry.line())
    control_data.put(redis, [], [again])
    assert redis.hgetall("fs:once:t:x") == {b"\xff": bytes(range(256))}
