"""Single real servers for tests, each started in its own folder and always stopped."""

import itertools
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from redis import Redis, RedisError

import backends
from facesearch.embedded import servers
from facesearch.embedded.up import listen

API_KEY = "a key for tests"

END_S = 60
"""Seconds in which a process ends after SIGTERM, on a busy machine too."""


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Return as soon as the condition holds. Fails after `seconds`, which allow for a busy machine."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.02)


def end(process: subprocess.Popen[Any]) -> int:
    """Ask a process to end, if it runs. Returns its exit status. Kills it and fails if it does not end in time."""
    process.terminate()
    try:
        return process.wait(END_S)
    finally:
        process.kill()  # so that the next one to wait for it does not wait without end


_SHARES = (("PYTEST_XDIST_WORKER", "gw0"), ("PYTEST_XDIST_WORKER_COUNT", "1"))

_PORTS = itertools.cycle(range(20_000, 32_000, 2))
"""Below the ports of outgoing connections (32,768 and above), which could take one before a server does."""


def two_free_ports() -> int:
    """Return the first of two neighbouring ports that are free and used by no other process of these tests."""
    worker, workers = (int(os.environ.get(name, default).removeprefix("gw")) for name, default in _SHARES)
    while True:
        port = next(_PORTS)
        if port // 2 % workers != worker:
            continue
        try:
            for each in (port, port + 1):
                socket.create_server(("127.0.0.1", each)).close()
        except OSError:
            continue
        return port


@contextmanager
def broker(folder: Path) -> Iterator[str]:
    """Start an empty Valkey on a Unix socket. Yields its URL."""
    path = folder / "v.sock"
    url = servers.url(path)
    with subprocess.Popen(servers.images_command(folder / "valkey", path)) as process:
        try:
            with Redis.from_url(url) as client:
                wait_for(lambda: answers(client))
            yield url
        finally:
            process.kill()  # it keeps nothing, and takes a tenth of a second to notice a request to end


@contextmanager
def empty_redis(folder: Path) -> Iterator[str]:
    """Yield the URL of an empty Redis of this run's backend: a new Valkey, or a database of the shared one."""
    shared = backends.redis_url()
    with broker(folder) if shared is None else backends.database(shared) as url:
        yield url


@contextmanager
def gateway(folder: Path, **settings: object) -> Iterator[httpx.Client]:
    """Start a gateway on an empty Redis, without a worker. Yields a client of it."""
    with empty_redis(folder) as url, gateway_on(url, **settings) as client:
        yield client


@contextmanager
def gateway_on(url: str, **settings: object) -> Iterator[httpx.Client]:
    """Start a gateway on the broker of that URL, without a worker. Yields a client of it."""
    with listen("127.0.0.1", 0) as listening:
        environment = {
            "REDIS_URL": url,
            "FACESEARCH_API_KEY": API_KEY,
            **{f"FACESEARCH_{name.upper()}": str(value) for name, value in settings.items()},
        }
        with subprocess.Popen(
            [sys.executable, "-m", "gateway", "--fd", str(listening.fileno())],
            env={**os.environ, **environment},
            pass_fds=[listening.fileno()],
        ) as process:
            try:
                port = listening.getsockname()[1]
                headers = {"X-API-Key": API_KEY}
                with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=30) as client:
                    wait_for(lambda: client.get("/readyz").status_code == 200)
                    yield client
            finally:
                end(process)


def python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `python ARGUMENTS` with these variables beside those of this process."""
    return subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def answers(client: Redis) -> bool:
    """Return whether a Redis answers."""
    try:
        return bool(client.ping())
    except RedisError:
        return False


def is_ready(address: str) -> bool:
    """Return whether /readyz of a gateway or a Qdrant answers 200."""
    return _answers_200(f"{address}/readyz")


def works(address: str) -> bool:
    """Return whether the whole service behind a gateway is ready."""
    return _answers_200(f"{address}/readyz?verbose=1")


def _answers_200(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.TransportError:
        return False
