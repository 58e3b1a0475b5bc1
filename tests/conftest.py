"""Options, markers and fixtures of all tests."""

import os
import signal
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, settings
from redis.asyncio import Redis

import backends
import tls_contexts
from gateway.redis_connection import SharedConnection
from processes import empty_redis
from service import UNHURRIED, Service
from shared.control import DEFAULT, Control
from shared.observability import telemetry
from shared.redis_clients import connect
from watchdog import Watchdog

SLOW_TIMEOUT_S = 600
"""Seconds after which a slow test counts as hung, on a busy machine too. The limit of others is in pyproject.toml."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--backend",
        choices=backends.NAMES,
        default="embedded",
        help="what real servers tests use: see tests/backends.py",
    )


def pytest_configure(config: pytest.Config) -> None:
    # Before any library is imported or process started.
    telemetry.refuse()
    # A shell without job control starts background jobs (`make test &`) with SIGINT ignored, and children inherit
    # that: no command that a test starts would end by Ctrl-C.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    config.addinivalue_line("markers", "embedded(reason): the test is about servers of its own: skipped with others")
    config.addinivalue_line("markers", "slow: takes seconds on a quiet machine; left out of `make test`")
    # The time of an example depends on the load of the machine.
    settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("any machine")
    # pytest-xdist sets the width of a terminal, but captured output has none.
    os.environ.pop("COLUMNS", None)
    config.pluginmanager.register(Watchdog())
    tls_contexts.share()
    config.add_cleanup(backends.choose(config.getoption("--backend"), os.environ))


def pytest_report_header(config: pytest.Config) -> str:
    return f"backend: {config.getoption('--backend')}, {'a Qdrant server' if backends.qdrant() else 'no Qdrant server'}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    slow_files = {item.path for item in items if item.get_closest_marker("slow")}
    # Slow files come first, so that no process of the run starts a long one when the others have ended.
    items.sort(key=lambda item: item.path not in slow_files)
    for item in items:
        if item.get_closest_marker("slow") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(SLOW_TIMEOUT_S))
    backend = config.getoption("--backend")
    for item in items if backend != "embedded" else ():
        if mark := item.get_closest_marker("embedded"):
            item.add_marker(pytest.mark.skip(reason=f"not with --backend={backend}: {mark.args[0]}"))


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service shared by all tests that leave it as they found it."""
    with Service(tmp_path_factory.mktemp("service"), dict(UNHURRIED)) as running:
        yield running


@pytest.fixture
async def call(service: Service) -> Callable[..., httpx.Response]:
    """Call the service in a face database that no other test sees, as in call("addface", img=…)."""
    facedb = uuid.uuid4().hex
    async with Redis.from_url(service.broker) as redis:
        await Control(redis).create_facedb(DEFAULT, facedb)

    def send(name: str, /, **parameters: Any) -> httpx.Response:
        return service.http.post(f"/v1/{name}", data={"facedb": facedb, **parameters})

    return send


@pytest.fixture
def valkey_url(tmp_path: Path) -> Iterator[str]:
    """The URL of a real, empty Valkey or Redis."""
    with empty_redis(tmp_path) as url:
        yield url


@pytest.fixture
async def redis(valkey_url: str) -> AsyncIterator[Redis]:
    """A client of an empty Redis with the options of the gateway."""
    async with connect(valkey_url) as client:
        yield client


@pytest.fixture
async def connection(redis: Redis) -> AsyncIterator[SharedConnection]:
    """A connection to the empty Redis as in the gateway."""
    async with aclosing(SharedConnection(redis)) as opened:
        yield opened
