"""A Redis with Sentinels: its master is killed, and the service goes on with the next one."""

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


async def test_clients_find_the_master_and_its_successor(redis: Failover) -> None:
    async with connect(redis.url) as client:
        with connect_blocking(redis.url) as blocking:
            await client.set("a", "b")
            assert blocking.get("a") == b"b"
            assert redis.replicated()
            dead = redis.kill_master()
            # No command is repeated without its caller's knowledge.
            with pytest.raises(RedisConnectionError):
                blocking.get("a")
            with pytest.raises(RedisConnectionError):
                await client.get("a")
            await asyncio.to_thread(wait_for, lambda: redis.master() not in (0, dead))
            assert await client.get("a") == b"b"
            assert blocking.get("a") == b"b"
            assert await asyncio.gather(*(client.set(f"a{n}", "b") for n in range(100))) == [True] * 100


async def test_a_missing_sentinel_is_skipped(redis: Failover) -> None:
    url = redis.url.replace("@", "@127.0.0.1:9,", 1)  # nothing listens there
    async with connect(url) as client:
        assert await client.ping()
    with connect_blocking(url) as blocking:
        assert blocking.ping()


def test_an_unknown_master_is_an_error(redis: Failover) -> None:
    with (
        connect_blocking(redis.url.replace("/main/", "/other/")) as blocking,
        pytest.raises(RedisConnectionError, match="No master found for 'other'"),
    ):
        blocking.ping()


def test_a_killed_master_costs_seconds_and_no_acknowledged_face(redis: Failover, tmp_path: Path) -> None:
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
    """Add a face and return the status and its id, if it was added."""
    try:
        answer = service.http.post("/v1/addface", data=IMG, headers={"X-API-Key": key}).json()
    except httpx.TransportError as error:
        return type(error).__name__, ""
    return answer["status"], answer["message"][0]["person_id"] if answer["status"] == "OK" else ""


def keys(redis: Failover, *arguments: str) -> object:
    """Return the JSON output of a command on keys."""
    said = subprocess.run(
        [sys.executable, "-m", "facesearch", "keys", *arguments],
        env={**os.environ, "REDIS_URL": redis.url},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return json.loads(said)
