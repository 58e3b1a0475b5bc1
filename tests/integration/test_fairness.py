"""One tenant requests more than the service can do, and another one does not wait for it."""

import asyncio
import base64
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from redis import Redis

from portraits import crowd, hopper_jpeg
from processes import wait_for
from service import UNHURRIED, Service
from shared.control import DEFAULT, Control
from shared.control.layout import TENANT_IDS
from shared.fair_queue import HELD, LINE_PREFIX, WAITING
from shared.redis_clients import connect

pytestmark = pytest.mark.slow

THREADS = 2
GREEDY = 20
"""Simultaneous adds of a picture with many faces."""

IMG = {"img": base64.b64encode(hopper_jpeg()).decode()}


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with Service(tmp_path, {**UNHURRIED, "FACESEARCH_WORKER_THREADS": str(THREADS)}) as running:
        yield running


@pytest.fixture
def other(service: Service) -> Iterator[httpx.Client]:
    """A caller of another tenant."""

    async def key() -> str:
        async with connect(service.broker) as redis:
            control = Control(redis)
            await control.create_tenant("other")
            await control.create_facedb("other", "faces")
            await control.set_default_facedb("other", "faces")
            return (await control.create_key("other", "other"))[1]

    headers = {"X-API-Key": asyncio.run(key())}
    with httpx.Client(base_url=service.address, headers=headers, timeout=service.http.timeout) as client:
        yield client


def test_a_small_tenant_does_not_wait_for_a_greedy_one(service: Service, other: httpx.Client) -> None:
    assert other.post("/v1/addface", data=IMG).json()["status"] == "OK"
    large = {"img": base64.b64encode(crowd(30)).decode()}
    with Redis.from_url(service.broker) as redis, ThreadPoolExecutor(GREEDY) as callers:
        greedy = [callers.submit(service.http.post, "/v1/addface", data=large) for _ in range(GREEDY)]
        wait_for(lambda: redis.llen(HELD) >= GREEDY // 2)
        greedy_one = redis.hget(TENANT_IDS, DEFAULT)
        assert redis.zrange(WAITING, 0, -1) == [greedy_one]
        assert other.post("/v1/searchface", data=IMG).json()["message"][0]["confidence"] == 100
        assert redis.llen(LINE_PREFIX.encode() + greedy_one) > 0, "the greedy one's jobs, which came first, still wait"
        assert {answer.result().json()["status"] for answer in greedy} == {"OK"}
        wait_for(lambda: not redis.exists(HELD, WAITING, "fs:fair:out", "fs:fair:out:extra", "fs:fair:running"))
