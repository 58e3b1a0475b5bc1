"""The servers that tests run against: `pytest --backend=embedded|given|containers`.

embedded: a Valkey for each test, and Qdrant's engine inside the worker. given: the Redis of REDIS_URL and, if it is
set, the Qdrant of QDRANT_URL with QDRANT_API_KEY and FACESEARCH_QDRANT_GRPC_PORT. containers: the images of
docker-compose.yml, started for this run by testcontainers; without the image of Qdrant its engine stays inside the
worker.

Each test gets an empty logical database of a shared Redis, 1 to 15, which is emptied afterwards; a database with data
is never touched. A key in database 0 keeps simultaneous runs apart. On a shared Qdrant the collections in a test's own
control data are removed.
"""

import asyncio
import os
import uuid
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import ExitStack, closing, contextmanager
from typing import Final
from urllib.parse import urlsplit

import httpx
import pytest
from redis import Redis, RedisError

from shared.control import DROPPED, Control
from shared.redis_clients import connect, connect_blocking

NAMES: Final = ("embedded", "given", "containers")

_KEPT: Final = {
    "REDIS_URL": "TEST_REDIS_URL",
    "QDRANT_URL": "TEST_QDRANT_URL",
    "QDRANT_API_KEY": "TEST_QDRANT_API_KEY",
    "FACESEARCH_QDRANT_GRPC_PORT": "TEST_QDRANT_GRPC_PORT",
}
"""Settings of the servers of a run, and the variables under which they are hidden from the service."""

_WHY_NOT: Final = "TEST_WHY_NOT"
"""The variable with the reason why there are no servers."""

RESERVED_S: Final = 3600
"""How long a database stays reserved after its run was killed."""


def choose(name: str, environment: MutableMapping[str, str]) -> Callable[[], None]:
    """Choose the servers of this run, and remove settings of servers from the environment. Returns a function that
    stops the servers. Raises pytest.UsageError for servers that are not given or do not answer.
    """
    given = {setting: environment.pop(setting, "") for setting in _KEPT}
    for variable in ("FACESEARCH_IMAGES_URL", _WHY_NOT, *_KEPT.values()):
        environment.pop(variable, None)
    stack = ExitStack()
    chosen: dict[str, str] = {}
    if name == "given":
        _require_answer(given["REDIS_URL"])
        chosen = given
    elif name == "containers":
        # Its libraries take a second to import, and only this backend needs them.
        from container_servers import Unavailable, run_containers  # noqa: PLC0415

        try:
            chosen = stack.enter_context(run_containers())
        except Unavailable as error:
            environment[_WHY_NOT] = str(error)
    environment.update({_KEPT[setting]: value for setting, value in chosen.items() if value})
    return stack.close


def redis_url() -> str | None:
    """Return the URL of the Redis that tests share, None when each starts its own. Skips the test if there is none."""
    if why := os.environ.get(_WHY_NOT):
        pytest.skip(why)
    return os.environ.get(_KEPT["REDIS_URL"])


def qdrant() -> dict[str, str]:
    """Return the settings of the Qdrant of this run; none when its engine runs inside the worker."""
    found = {setting: os.environ.get(variable) for setting, variable in _KEPT.items() if setting != "REDIS_URL"}
    return {setting: value for setting, value in found.items() if value}


@contextmanager
def database(url: str) -> Iterator[str]:
    """Yield the URL of an empty logical database of a Redis, which is emptied afterwards."""
    with closing(connect_blocking(_numbered(url, 0))) as zero:
        number, reservation = _reserve(url, zero)
        try:
            yield _numbered(url, number)
        finally:
            with closing(connect_blocking(_numbered(url, number))) as used:
                used.flushdb()
            zero.delete(reservation)


def collections(broker: str) -> list[str]:
    """Return the names of the collections in the control data of a broker, including those of dropped facedbs."""

    async def ask() -> list[str]:
        async with connect(broker) as redis:
            control = Control(redis)
            facedbs = [facedb for tenant in await control.tenants() for facedb in await control.facedbs(tenant.name)]
            dropped = [member.decode() for member in await redis.zrange(DROPPED, 0, -1)]
            return [facedb.collection for facedb in facedbs] + dropped

    return asyncio.run(ask())


def remove_collections(names: list[str]) -> None:
    """Remove collections from the Qdrant of this run, if there is one."""
    settings = qdrant()
    if not settings:
        return
    headers = {"api-key": settings.get("QDRANT_API_KEY", "")}
    with httpx.Client(base_url=settings["QDRANT_URL"], headers=headers, timeout=30) as client:
        for name in names:
            answer = client.delete(f"/collections/{name}")
            assert answer.status_code in (200, 404), answer.text


def _require_answer(url: str) -> None:
    if not url:
        raise pytest.UsageError("--backend=given needs REDIS_URL, and takes QDRANT_URL and QDRANT_API_KEY")
    try:
        with connect_blocking(url) as redis:
            redis.ping()
    except RedisError as error:
        raise pytest.UsageError(f"--backend=given: REDIS_URL does not answer ({type(error).__name__})") from None


def _reserve(url: str, zero: Redis) -> tuple[int, str]:
    for number in range(1, 16):
        reservation = f"facesearch-tests:{number}"
        if zero.set(reservation, uuid.uuid4().hex, nx=True, ex=RESERVED_S):
            with closing(connect_blocking(_numbered(url, number))) as redis:
                if redis.dbsize() == 0:
                    return number, reservation
            zero.delete(reservation)
    pytest.fail("none of the databases 1 to 15 of REDIS_URL is free and empty", pytrace=False)


def _numbered(url: str, number: int) -> str:
    """Return the URL of another database of the same Redis."""
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return f"unix://{parts.netloc}{parts.path}?db={number}"
    master = parts.path.split("/")[1] if "sentinel" in parts.scheme else ""
    return parts._replace(path=f"/{master}/{number}" if master else f"/{number}").geturl()
