"""Fixtures of the tests that need real servers."""

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from processes import broker
from service import Service
from shared.control import DEFAULT, Control


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One service for all tests that leave it as they found it."""
    with Service(tmp_path_factory.mktemp("service")) as running:
        yield running


@pytest.fixture
async def call(service: Service) -> Callable[..., httpx.Response]:
    """Calls the service in a face database that no other test sees, as in call("addface", img=…)."""
    facedb = uuid.uuid4().hex
    async with Redis.from_url(service.broker) as redis:
        await Control(redis).create_facedb(DEFAULT, facedb)

    def send(name: str, /, **parameters: Any) -> httpx.Response:
        return service.http.post(f"/v1/{name}", data={"facedb": facedb, **parameters})

    return send


@pytest.fixture
def valkey_url(tmp_path: Path) -> Iterator[str]:
    """A real, empty Valkey."""
    with broker(tmp_path) as url:
        yield url
