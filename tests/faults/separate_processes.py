"""A stage of separate processes, as operators run them: two gateways, two workers, two Valkeys and a Qdrant server.

Only the harness starts them again. The Qdrant server is the stand-in of tests/qdrant_server.py.
"""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from redis import Redis

from faults.stages import Part, Stage, Valkey, valkeys
from processes import API_KEY, two_free_ports, wait_for, works
from qdrant_server import served
from shared.heartbeat import heartbeat_key

GATEWAYS: Final = 2
WORKERS: Final = 2

DRAIN_S: Final = 1.0
"""Several times as long as callers of several gateways rely on a readiness check: see caller.LOOK_S."""


@dataclass
class SeparateProcesses(Stage):
    """Separate processes. environment: of gateways and workers."""

    broker: Valkey = field(kw_only=True)
    images: Valkey = field(kw_only=True)
    gateways: list[Part] = field(kw_only=True)
    workers: list[Part] = field(kw_only=True)
    environment: dict[str, str] = field(kw_only=True)

    def wait_until_ready(self) -> None:
        """Return when every worker runs and every gateway reaches one."""
        wait_for(lambda: self.living_workers() == len(self.workers), 60)
        wait_for(lambda: all(map(works, self.urls)), 60)

    def living_workers(self) -> int:
        """Return how many workers have a heartbeat."""
        with Redis.from_url(self.broker_url) as redis:
            return len(list(redis.scan_iter(heartbeat_key("*"))))


def python_part(module: str, log: Path, environment: dict[str, str]) -> Part:
    """Return a gateway or a worker that is not started yet."""
    return Part([sys.executable, "-m", module], environment, log)


@contextmanager
def separate_processes(folder: Path, worker: str = "worker", **settings: str) -> Iterator[SeparateProcesses]:
    """Start them all and wait until they are ready. worker: the module that is run for one. settings: of gateways and
    workers, by their environment names; a Qdrant is started unless a QDRANT_URL is among them.
    """
    with valkeys(folder) as (broker, images), ExitStack() as stack:
        if "QDRANT_URL" not in settings:
            settings["QDRANT_URL"] = stack.enter_context(served(folder / "qdrant")).url
        ports = [two_free_ports() for _ in range(GATEWAYS)]
        environment = {
            "REDIS_URL": broker.url,
            "FACESEARCH_IMAGES_URL": images.url,
            "FACESEARCH_DATA_DIR": str(folder / "data"),
            "FACESEARCH_API_KEY": API_KEY,
            "FACESEARCH_DRAIN_S": str(DRAIN_S),
            "FACESEARCH_LOG_LEVEL": "error",
            **settings,
        }
        stage = SeparateProcesses(
            folder,
            [f"http://127.0.0.1:{port}" for port in ports],
            API_KEY,
            broker.url,
            broker=broker,
            images=images,
            gateways=[
                python_part("gateway", folder / f"gateway-{port}.log", environment | {"FACESEARCH_PORT": str(port)})
                for port in ports
            ],
            workers=[python_part(worker, folder / f"worker-{number}.log", environment) for number in range(WORKERS)],
            environment=environment,
        )
        parts = [*stage.gateways, *stage.workers]
        try:
            for part in parts:
                part.start()
            stage.wait_until_ready()
            yield stage
        finally:
            for part in parts:
                part.kill()
