"""Stages of rows: services with their servers, all of which can be killed, kept away and started again.

A stage is a function that takes an empty folder and is a context manager of a Stage: see `up` below.
"""

import asyncio
import itertools
import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psutil
from redis import Redis

from facesearch.embedded import servers as valkey
from faults.webhooks import Webhooks
from https_receiver import make_webhook_secret, receiving, webhooks_to
from processes import answers, two_free_ports, wait_for
from service import Service
from shared.control import DEFAULT, Control
from shared.redis_clients import connect
from shared.settings import Settings

DEADLINE_S: Final = float(Settings.model_fields["deadline_s"].default)
"""The default deadline of a service."""

STOP_S: Final = 30.0


CHILDREN: Final = {"worker": "-m worker", "gateway": "-m gateway", "broker": "broker.sock", "images": "images.sock"}
"""Children of `facesearch up`, by texts that only their command lines contain."""


@dataclass
class Part:
    """A process that only the harness starts. environment: in addition to the harness's own. log: the file of its
    output.
    """

    argv: Sequence[str]
    environment: dict[str, str] = field(default_factory=dict)
    log: Path | None = None
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self.log or Path(os.devnull)).open("ab") as log:
            self.process = subprocess.Popen(
                list(self.argv),
                env={**os.environ, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def said(self) -> str:
        """Return its output so far, over all its starts."""
        return self.log.read_text() if self.log else ""

    def runs(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def kill(self) -> None:
        """Kill it if it runs (SIGKILL), and return when it is gone."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(STOP_S)

    def stop(self) -> int:
        """Stop it (SIGTERM). Returns its exit status."""
        assert self.process is not None
        self.process.terminate()
        return int(self.process.wait(STOP_S))


@dataclass
class Valkey(Part):
    """A Valkey server on a Unix socket. url: its address."""

    url: str = ""

    def start(self) -> None:
        """Start it and wait until it answers."""
        super().start()
        with Redis.from_url(self.url) as client:
            wait_for(lambda: answers(client))


@dataclass
class Stage:
    """A service under load. urls: of its gateways. broker_url: of the Redis with its control data. prefix: of the names
    of its facedbs, unique among the stages on one service. webhooks: where it may send outcomes, None: nowhere.
    """

    folder: Path
    urls: Sequence[str]
    key: str
    broker_url: str
    deadline_s: float = DEADLINE_S
    prefix: str = "f"
    webhooks: Webhooks | None = None

    def __post_init__(self) -> None:
        self._numbers = itertools.count()

    def new_facedbs(self, count: int) -> list[str]:
        """Return new empty face databases."""

        async def make() -> list[str]:
            async with connect(self.broker_url) as redis:
                control = Control(redis)
                names = [f"{self.prefix}{number}" for number in itertools.islice(self._numbers, count)]
                for name in names:
                    await control.create_facedb(DEFAULT, name)
                return names

        return asyncio.run(make())


@dataclass
class Whole(Stage):
    """`facesearch up`, which starts its children again when they die: the gateway, the worker and both Valkeys."""

    service: Service = field(kw_only=True)

    def kill(self, role: str, number: int = signal.SIGKILL) -> None:
        """Send a signal to a child by its role in CHILDREN, if there is one, and wait until it is gone."""
        with suppress(LookupError, psutil.NoSuchProcess):
            process = self.service.child(CHILDREN[role])
            process.send_signal(number)
            process.wait(STOP_S)

    def has(self, role: str) -> bool:
        """Return whether there is such a child: `up` takes a moment to start another one."""
        try:
            return self.service.child(CHILDREN[role]).is_running()
        except (LookupError, psutil.NoSuchProcess):
            return False

    def kill_everything(self) -> None:
        """Kill `up` and all it has started at once (SIGKILL)."""
        kill_service(self.service)

    def start_everything(self) -> None:
        """Start it again, on the same folder and the same port."""
        self.service = started_again(self.service)


@dataclass
class Up(Whole):
    """`facesearch up` on Valkeys of the harness, which can stay away for any time."""

    broker: Valkey = field(kw_only=True)
    images: Valkey = field(kw_only=True)

    def kill_everything(self) -> None:
        """Kill `up`, all it has started and both Valkeys at once (SIGKILL)."""
        super().kill_everything()
        self.broker.kill()
        self.images.kill()

    def start_everything(self) -> None:
        """Start them again, on the same folders and the same port."""
        self.broker.start()
        self.images.start()
        super().start_everything()


def kill_service(service: Service) -> None:
    """Kill `up` and all it has started at once (SIGKILL), if it runs."""
    if service.process.poll() is not None:
        return
    processes = service.processes()
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    wait_for(lambda: all(map(_is_gone, processes)))
    service.process.wait(STOP_S)  # threads of a zombie may still be ending
    service.__exit__()


def _is_gone(process: psutil.Process) -> bool:
    """Return whether it has ended. Without a parent that waits for them, processes may stay zombies for seconds."""
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def started_again(service: Service) -> Service:
    """Start a stopped service again, on the same folder and the same port."""
    again = Service(service.folder, service.settings, service.port)
    again.__enter__()
    return again


@contextmanager
def valkeys(folder: Path, broker_folder: Path | None = None) -> Iterator[tuple[Valkey, Valkey]]:
    """Start the broker and the image store. broker_folder: of the append-only file."""
    made = []
    for name, command in (("broker", valkey.broker_command), ("images", valkey.images_command)):
        where = broker_folder if name == "broker" and broker_folder else folder / name
        socket = folder / f"{name}.sock"
        made.append(Valkey(command(where, socket), url=valkey.url(socket)))
    broker, images = made
    try:
        broker.start()
        images.start()
        yield broker, images
    finally:
        for server in made:
            server.kill()


@contextmanager
def whole(folder: Path, **settings: str) -> Iterator[Whole]:
    """Start `facesearch up` with its own servers, and a receiver of webhooks. settings: of the service, by their
    environment names.
    """
    with receiving(folder) as receiver:
        service = Service(folder / "data", {**webhooks_to(receiver), **settings}, port=two_free_ports())
        service.__enter__()
        webhooks = Webhooks(receiver, make_webhook_secret(service.broker))
        stage = Whole(folder, [service.address], service.key, service.broker, webhooks=webhooks, service=service)
        try:
            yield stage
        finally:
            kill_service(stage.service)


@contextmanager
def up(folder: Path, broker_folder: Path | None = None, **settings: str) -> Iterator[Up]:
    """Start `facesearch up` on Valkeys of the harness. settings: of the service, by their environment names."""
    with valkeys(folder, broker_folder) as (broker, images):
        servers = {"REDIS_URL": broker.url, "FACESEARCH_IMAGES_URL": images.url}
        with whole(folder, **servers, **settings) as stage:
            made = Up(
                folder,
                stage.urls,
                stage.key,
                broker.url,
                webhooks=stage.webhooks,
                service=stage.service,
                broker=broker,
                images=images,
            )
            try:
                yield made
            finally:
                kill_service(made.service)
