"""A whole service for benchmarks, as an operator runs it apart: two Valkeys, a gateway, any number of workers."""

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from facesearch import valkey
from facesearch.doors import listen
from processes import is_ready, wait_for


@dataclass(frozen=True)
class Running:
    """processes: by role; several workers have one role."""

    address: str
    key: str
    broker: str
    processes: Mapping[str, Sequence[psutil.Process]]

    def cpu_s(self) -> dict[str, float]:
        """CPU seconds so far, by role."""
        return {
            role: sum(sum(process.cpu_times()[:2]) for process in processes)
            for role, processes in self.processes.items()
        }


@contextmanager
def running(folder: Path, workers: int = 1, **settings: object) -> Iterator[Running]:
    """Start it all, ready to answer; stop it afterwards. settings: of every process, by their environment names."""
    broker, images = folder / "b.sock", folder / "i.sock"
    key = secrets.token_urlsafe(12)
    environment = {
        **os.environ,
        "REDIS_URL": valkey.url(broker),
        "FACESEARCH_IMAGES_URL": valkey.url(images),
        "FACESEARCH_DATA_DIR": str(folder / "data"),
        "FACESEARCH_API_KEY": key,
        "FACESEARCH_LOG_LEVEL": "warning",
        **{name: str(value) for name, value in settings.items()},
    }
    with ExitStack() as stack, listen("127.0.0.1", 0) as listening:

        def start(*argv: str, fd: int | None = None) -> psutil.Process:
            process = subprocess.Popen(argv, env=environment, pass_fds=[] if fd is None else [fd])  # noqa: S603 -- our own
            stack.callback(process.wait, 30)
            stack.callback(process.terminate)
            return psutil.Process(process.pid)

        servers = [
            start(*valkey.broker_command(folder / "broker", broker)),
            start(*valkey.images_command(folder / "images", images)),
        ]
        wait_for(lambda: broker.exists() and images.exists())
        fd = listening.fileno()
        processes = {
            "broker": servers,
            "gateway": [start(sys.executable, "-m", "gateway", "--fd", str(fd), fd=fd)],
            "worker": [start(sys.executable, "-m", "worker") for _ in range(workers)],
        }
        address = f"http://127.0.0.1:{listening.getsockname()[1]}"
        wait_for(lambda: is_ready(address), 60)
        yield Running(address, key, valkey.url(broker), processes)
