"""The Qdrant server is killed, or the network to it or to the broker is bad."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from faults.load import Load
from faults.proxy import Proxy
from faults.rows import PromiseBroken, Row
from faults.stages import Valkey, Whole, valkeys, whole
from processes import two_free_ports
from qdrant_server import Server, served
from shared.calls import COMPARE_FACES, DELETE_FACE
from shared.contract import Status

LASTS_S: Final = 5.0
"""Duration of a network fault: longer than an operation of the store may take, shorter than a caller waits."""

CALLERS: Final = 8
"""As many as the worker has threads: all of them wait for the remote server at once."""

DELAY_S: Final = 0.3
"""Delay each way: as far as is possible on Earth."""

LATE_S: Final = 5.0
"""Delay of held data once the network is good again: it arrives after its repetition was done."""


@dataclass
class Distant(Whole):
    """`facesearch up` whose faces are on a Qdrant server behind a proxy. server: the current process."""

    proxy: Proxy = field(kw_only=True)
    servers: ExitStack = field(kw_only=True)
    server: Server = field(kw_only=True)

    def start_server(self) -> None:
        """Start the killed server again, on its folder and its ports."""
        ports = (self.server.port, self.server.grpc_port)
        self.server = self.servers.enter_context(served(self.server.folder, ports=ports))


@dataclass
class FarBroker(Whole):
    """`facesearch up` whose broker is behind a proxy."""

    proxy: Proxy = field(kw_only=True)


@contextmanager
def distant(folder: Path) -> Iterator[Distant]:
    with ExitStack() as servers:
        server = servers.enter_context(served(folder / "qdrant"))
        proxy = servers.enter_context(Proxy(("127.0.0.1", server.port)))
        settings = {"QDRANT_URL": f"http://127.0.0.1:{proxy.port}", "FACESEARCH_WORKER_THREADS": str(CALLERS)}
        with whole(folder, **settings) as stage:
            yield Distant(
                folder,
                stage.urls,
                stage.key,
                stage.broker_url,
                service=stage.service,
                proxy=proxy,
                servers=servers,
                server=server,
            )


@contextmanager
def far_broker(folder: Path) -> Iterator[FarBroker]:
    """Start the service. The harness itself reaches the broker on its Unix socket."""
    port = two_free_ports()
    with valkeys(folder) as (broker, images), _also_on(broker, port), Proxy(("127.0.0.1", port)) as proxy:
        settings = {"REDIS_URL": f"redis://127.0.0.1:{proxy.port}", "FACESEARCH_IMAGES_URL": images.url}
        with whole(folder, **settings) as stage:
            yield FarBroker(folder, stage.urls, stage.key, broker.url, service=stage.service, proxy=proxy)


@contextmanager
def _also_on(broker: Valkey, port: int) -> Iterator[None]:
    """Restart the broker so that it also listens on a port."""
    broker.kill()
    broker.argv = [*broker.argv, "--port", str(port)]
    broker.start()
    yield


def gone(stage: Distant, _load: Load, away_s: float) -> float:
    """Kill the server. It comes back with all that it had acknowledged."""
    stage.server.process.kill()
    stage.server.process.wait()
    time.sleep(away_s)
    stage.start_server()
    return time.monotonic()


def refused(stage: Distant | FarBroker, _load: Load) -> float:
    """Refuse connections, as a machine without the server does."""
    stage.proxy.refuses()
    stage.proxy.cuts()
    time.sleep(LASTS_S)
    stage.proxy.accepts()
    return time.monotonic()


def dropped(stage: Distant | FarBroker, _load: Load) -> float:
    """Drop all data."""
    stage.proxy.drops()
    time.sleep(LASTS_S)
    stage.proxy.passes()
    return time.monotonic()


def held(stage: Distant, load: Load) -> float:
    """Hold requests and pass them on late: after they were given up and repeated, and after most of the added faces
    were deleted.
    """
    stage.proxy.holds()
    time.sleep(LASTS_S)
    over = time.monotonic()
    stage.proxy.passes(LATE_S)
    while time.monotonic() < over + LATE_S:
        load.ask(DELETE_FACE)
    return over


def delayed(stage: Distant | FarBroker, _load: Load) -> float:
    stage.proxy.delays(DELAY_S)
    time.sleep(LASTS_S)
    stage.proxy.delays(0)
    return time.monotonic()


def half_closed(stage: Distant | FarBroker, load: Load) -> float:
    """Pass requests on and end the connection before the answers."""
    began = time.monotonic()
    stage.proxy.half_closes()
    time.sleep(LASTS_S)
    stage.proxy.passes()
    over = time.monotonic()
    attempts = [
        attempt
        for request, attempt in load.book.attempts()
        if request.call != COMPARE_FACES and attempt.began > began and attempt.ended < over
    ]
    if any(attempt.status != Status.FAIL for attempt in attempts):
        raise PromiseBroken("a request was answered though the store's answers were cut off")
    return over


def cut(stage: Distant | FarBroker, load: Load, times: int) -> float:
    """Reset all connections, again and again."""
    over = time.monotonic()
    for _ in range(times):
        load.go_on(5)
        over = time.monotonic()
        stage.proxy.cuts()
    return over


ROWS: Final = (
    Row("kill -9 Qdrant server, back after 1 s", partial(gone, away_s=1), stage=distant),
    Row("kill -9 Qdrant server, back after 10 s", partial(gone, away_s=10), stage=distant),
    Row(f"Qdrant refuses connections for {LASTS_S:.0f} s", refused, stage=distant),
    Row(f"way to Qdrant drops everything for {LASTS_S:.0f} s", dropped, stage=distant),
    Row(f"way to Qdrant is {DELAY_S * 1000:.0f} ms each way for {LASTS_S:.0f} s", delayed, stage=distant, fails=False),
    Row(f"answers of Qdrant are cut off for {LASTS_S:.0f} s", half_closed, stage=distant),
    Row("connections with Qdrant cut, 5 times", partial(cut, times=5), stage=distant),
    Row(f"way to Qdrant holds everything for {LASTS_S:.0f} s, and gives it late", held, stage=distant, callers=CALLERS),
    Row(f"way to the broker drops everything for {LASTS_S:.0f} s", dropped, stage=far_broker),
    Row(f"way to the broker refuses connections for {LASTS_S:.0f} s", refused, stage=far_broker),
    Row("connections with the broker cut, 5 times", partial(cut, times=5), stage=far_broker),
    Row(f"way to the broker is {DELAY_S * 1000:.0f} ms each way for {LASTS_S:.0f} s", delayed, stage=far_broker),
)
