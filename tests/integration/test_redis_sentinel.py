"""A Redis whose master Sentinels know: it is killed, and the service goes on with the next one."""

import asyncio
import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from redis import ConnectionError as RedisConnectionError

from portraits import hopper_jpeg
from processes import wait_for
from redis_servers import ESCAPED, PASSWORD, Failover, failover
from service import Service
from shared.redis_clients import connect, connect_blocking

pytestmark = pytest.mark.slow

IMG = {"img": base64.b64encode(hopper_jpeg()).decode()}


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Failover]:
    with failover(tmp_path) as running:
        yield running


async def test_clients_find_the_master_and_the_next_one(redis: Failover) -> None:
    async with connect(redis.url) as client:
        with connect_blocking(redis.url) as blocking:
            await client.set("a", "b")
            assert blocking.get("a") == b"b"
            assert redis.replicated()
            dead = redis.kill_master()
            # Nothing is tried again behind one's back.
            with pytest.raises(RedisConnectionError):
                blocking.get("a")
            with pytest.raises(RedisConnectionError):
                await client.get("a")
            await asyncio.to_thread(wait_for, lambda: redis.master() not in (0, dead))
            assert await client.get("a") == b"b"
            assert blocking.get("a") == b"b"
            assert await asyncio.gather(*(client.set(f"a{n}", "b") for n in range(100))) == [True] * 100


async def test_a_sentinel_that_is_gone_is_passed_over(redis: Failover) -> None:
    url = redis.url.replace("@", "@127.0.0.1:9,", 1)  # nobody listens there
    async with connect(url) as client:
        assert await client.ping()
    with connect_blocking(url) as blocking:
        assert blocking.ping()


def test_a_master_that_nobody_knows(redis: Failover) -> None:
    with (
        connect_blocking(redis.url.replace("/main/", "/other/")) as blocking,
        pytest.raises(RedisConnectionError, match="No master found for 'other'"),
    ):
        blocking.ping()


def test_a_killed_master_costs_seconds_and_nothing_that_was_acknowledged(redis: Failover, tmp_path: Path) -> None:
    with Service(tmp_path / "data", {"REDIS_URL": redis.url, "FACESEARCH_DEADLINE_S": "30"}) as service:
        made = keys(redis, "create", "--name", "till", "--json")
        assert add(service, made["key"])[0] == "OK"
        assert redis.replicated()
        with ThreadPoolExecutor(4) as callers:
            asked = [callers.submit(add, service, made["key"]) for _ in range(8)]
            dead = redis.kill_master()
            added = [person_id for status, person_id in (answer.result() for answer in asked) if status == "OK"]
        wait_for(lambda: add(service, made["key"])[0] == "OK")
        assert redis.master() not in (0, dead)
        answer = service.http.post("/v1/searchface", data=IMG, headers={"X-API-Key": made["key"]}).json()
        assert set(added) <= {match["person_id"] for match in answer["message"]}
        made.pop("key")
        assert made in keys(redis, "list", "--json")
        said = "".join(service.said)
    assert PASSWORD not in said
    assert ESCAPED not in said


def add(service: Service, key: str) -> tuple[str, str]:
    """Status and, when a face was added, its id."""
    try:
        answer = service.http.post("/v1/addface", data=IMG, headers={"X-API-Key": key}).json()
    except httpx.TransportError as error:
        return type(error).__name__, ""
    return answer["status"], answer["message"][0]["person_id"] if answer["status"] == "OK" else ""


def keys(redis: Failover, *arguments: str) -> object:
    """What the command line says as JSON."""
    said = subprocess.run(
        [sys.executable, "-m", "facesearch", "keys", *arguments],
        env={**os.environ, "REDIS_URL": redis.url},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return json.loads(said)
