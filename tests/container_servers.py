"""The servers of docker-compose.yml as containers of a test run, if a Docker engine has the images."""

import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Final

import docker
import pytest
import yaml
from docker.errors import DockerException, ImageNotFound
from redis import Redis
from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer

from processes import answers, is_ready, wait_for

COMPOSE: Final = Path(__file__).parents[1] / "docker-compose.yml"


class Unavailable(Exception):
    """Containers cannot be started; the text is the reason, in one line."""


@contextmanager
def run_containers() -> Iterator[dict[str, str]]:
    """Yield the settings of a Redis and, if its image is here, of a Qdrant. Raises Unavailable."""
    services = yaml.safe_load(COMPOSE.read_text())["services"]
    valkey, qdrant = (services[name]["image"] for name in ("valkey", "qdrant"))
    here = _images_here(valkey, qdrant, testcontainers_config.ryuk_image)
    if valkey not in here:
        raise Unavailable(f"the image {valkey} is not here: docker pull it, or see tests/containers")
    # The reaper removes containers of a killed run; it needs an image as well.
    testcontainers_config.ryuk_disabled = testcontainers_config.ryuk_image not in here
    with ExitStack() as stack:
        command = ["valkey-server", "--protected-mode", "no", "--save", ""]
        host, (port,) = _start(stack, DockerContainer(valkey, command=command).with_exposed_ports(6379))
        with Redis(host, port) as client:
            _wait_for(valkey, lambda: answers(client))
        settings = {"REDIS_URL": f"redis://{host}:{port}/0"}
        if qdrant in here:
            key = secrets.token_hex(16)
            container = DockerContainer(qdrant).with_exposed_ports(6333, 6334).with_env("QDRANT__SERVICE__API_KEY", key)
            host, (port, grpc_port) = _start(stack, container)
            url = f"http://{host}:{port}"
            settings |= {"QDRANT_URL": url, "QDRANT_API_KEY": key, "FACESEARCH_QDRANT_GRPC_PORT": str(grpc_port)}
            _wait_for(qdrant, lambda: is_ready(url))
        yield settings


def _images_here(*names: str) -> set[str]:
    here = set()
    try:
        with closing(docker.from_env()) as engine:
            for name in names:
                try:
                    engine.images.get(name)
                    here.add(name)
                except ImageNotFound:
                    pass
    except DockerException:
        raise Unavailable("no Docker engine answers") from None
    return here


def _start(stack: ExitStack, container: DockerContainer) -> tuple[str, list[int]]:
    """Start a container. Returns its host, and its exposed ports in their order."""
    stack.enter_context(container)
    return container.get_container_host_ip(), [int(container.get_exposed_port(port)) for port in container.ports]


def _wait_for(image: str, condition: Callable[[], bool]) -> None:
    try:
        wait_for(condition)
    except AssertionError:
        raise pytest.UsageError(f"a container of {image} was started and does not answer") from None
