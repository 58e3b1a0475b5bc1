"""A whole service for benchmarks in separate processes: two Valkeys, a gateway, any number of workers."""

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import psutil
import pybase64

from facesearch.embedded import servers
from facesearch.embedded.sockets import listen
from processes import wait_for, works

UNLIMITED: Final = {"FACESEARCH_RATE": 0, "FACESEARCH_CONCURRENCY": 0}
"""All callers of a benchmark share one key, whose limits must not matter."""

LOAD: Final = Path(__file__).with_name("load.py")
STOP_S: Final = 30
WORKER: Final = (sys.executable, "-m", "worker")


@dataclass(frozen=True)
class Running:
    """A running service. key: of the first tenant. processes: by role; all workers have one role."""

    address: str
    key: str
    broker_url: str
    processes: Mapping[str, list[psutil.Popen]]

    def cpu_s(self) -> dict[str, float]:
        """Return CPU seconds so far, by role; of a worker, those of its vision processes too."""
        return {
            role: sum(
                sum(each.cpu_times()[:2])
                for process in processes
                for each in (process, *process.children(recursive=True))
            )
            for role, processes in self.processes.items()
        }

    def add(self, photos: Sequence[Path]) -> None:
        """Add the faces of each photo, one after the other, which also warms everything up. Raises RuntimeError."""
        with httpx.Client(base_url=self.address, headers={"X-API-Key": self.key}, timeout=60) as client:
            for photo in photos:
                image = pybase64.b64encode(photo.read_bytes()).decode()
                answer = client.post("/v1/addface", data={"img": image}).json()
                if answer["status"] != "OK":
                    raise RuntimeError(f"{photo.name} was not added: {answer}")

    def closed(self, call: str, callers: int, seconds: float, photos: Sequence[Path]) -> dict[str, Any]:
        """Return the report of a closed loop of bench/load.py, and the CPU a request by role."""
        return self._load(call, "closed", callers, seconds, photos)

    def arriving(self, call: str, rate: float, seconds: float, photos: Sequence[Path]) -> dict[str, Any]:
        """Return the report of an open loop of bench/load.py, and the CPU a request by role."""
        return self._load(call, "open", rate, seconds, photos)

    def stop_worker(self) -> None:
        """Stop one of several workers; it finishes its jobs first."""
        worker = self.processes["worker"].pop()
        worker.terminate()
        worker.wait(STOP_S)

    def _load(self, call: str, way: str, amount: float, seconds: float, photos: Sequence[Path]) -> dict[str, Any]:
        before = self.cpu_s()
        command = [sys.executable, str(LOAD), self.address, self.key, call, way, str(amount), str(seconds)]
        done = subprocess.run([*command, *map(str, photos)], stdout=subprocess.PIPE, text=True, check=True)  # noqa: S603 -- our own
        report: dict[str, Any] = json.loads(done.stdout)
        if not report["per_second"]:
            raise RuntimeError(f"nothing was answered: {report['answers']}")
        spent = {role: seconds - before[role] for role, seconds in self.cpu_s().items()}
        return report | {"cpu_ms": {role: round(spent[role] * 1e3 / report["requests"], 2) for role in spent}}


@contextmanager
def running(folder: Path, workers: int = 1, worker: Sequence[str] = WORKER, **settings: object) -> Iterator[Running]:
    """Start a service, wait until it is ready, and stop it afterwards. worker: what starts one. settings: of every
    process, by their variables.

    The folder is made.
    """
    folder.mkdir()
    broker, images = folder / "b.sock", folder / "i.sock"
    key = secrets.token_urlsafe(12)
    environment = {
        **os.environ,
        "REDIS_URL": servers.url(broker),
        "FACESEARCH_IMAGES_URL": servers.url(images),
        "FACESEARCH_DATA_DIR": str(folder / "data"),
        "FACESEARCH_API_KEY": key,
        "FACESEARCH_LOG_LEVEL": "warning",
        **{name: str(value) for name, value in (UNLIMITED | settings).items()},
    }
    python = (sys.executable, "-m")
    with ExitStack() as stack:
        listening = stack.enter_context(listen("127.0.0.1", 0))
        fd = listening.fileno()

        def start(*commands: Sequence[str]) -> list[psutil.Popen]:
            return stack.enter_context(_started(commands, environment, fd))

        processes = {
            "broker": start(
                servers.broker_command(folder / "broker", broker), servers.images_command(folder / "images", images)
            )
        }
        wait_for(lambda: broker.exists() and images.exists())
        processes["gateway"] = start((*python, "gateway", "--fd", str(fd)))
        processes["worker"] = start(*[worker] * workers)
        address = f"http://127.0.0.1:{listening.getsockname()[1]}"
        wait_for(lambda: works(address), 60)
        yield Running(address, key, servers.url(broker), processes)


@contextmanager
def _started(
    commands: Sequence[Sequence[str]], environment: Mapping[str, str], fd: int
) -> Iterator[list[psutil.Popen]]:
    """Start processes of one role, which inherit the descriptor; those still in the list are stopped afterwards."""
    # Standard output is for figures.
    processes = [psutil.Popen(command, env=environment, stdout=sys.stderr, pass_fds=[fd]) for command in commands]
    try:
        yield processes
    finally:
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.terminate()
        for process in processes:
            process.wait(STOP_S)
