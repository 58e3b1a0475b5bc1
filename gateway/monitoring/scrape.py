"""`GET /metrics` for Prometheus, on a socket of its own: the metrics of a gateway, all its processes together.

Each process of a gateway tells its metrics on its own Unix socket, every series with its number in the label `process`.
The first one, which Prometheus asks, asks the others and joins what they say. So one port has all series, none depends
on which process was asked, and each begins again at 0 only when its own process does, which Prometheus understands.
"""

import asyncio
import re
from collections.abc import Iterator, Sequence
from copy import copy
from pathlib import Path
from typing import Final

import aiohttp
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, Metric, generate_latest

from gateway.app_keys import IMAGE_STORE, METRICS, REDIS, RESULTS
from gateway.http.answers import answer
from gateway.metrics import PROCESS_UP
from gateway.monitoring.broker import BrokerMetrics
from gateway.monitoring.health import gateway_state
from shared.contract import Status
from shared.gateway_process import GatewayProcess
from shared.heartbeat import OK

ANSWER_S: Final = 5.0
"""Seconds in which another process must tell its metrics: above what reading those of the broker may take, below the
10 s of a scrape."""

PATH: Final = "/metrics"

LABEL: Final = "process"

_HELP: Final = "# HELP "
_HEAD: Final = re.compile(rf"^{_HELP}", re.MULTILINE)


class _Labelled:
    """The metrics of a registry, every series with the number of its process."""

    def __init__(self, registry: CollectorRegistry, number: int) -> None:
        self._registry = registry
        self._label = {LABEL: str(number)}

    def collect(self) -> Iterator[Metric]:
        for metric in self._registry.collect():
            labelled = copy(metric)
            labelled.samples = [sample._replace(labels={**sample.labels, **self._label}) for sample in metric.samples]
            yield labelled


class _Own:
    """The metrics of this process, and those of the broker, which are read each time."""

    def __init__(self, gateway: web.Application, process: GatewayProcess) -> None:
        self._gateway = gateway
        registry = gateway[METRICS].registry
        self._broker = BrokerMetrics(registry)
        self._shown = registry if process.of == 1 else _Labelled(registry, process.number)

    async def text(self) -> str:
        """Return them in Prometheus's text format."""
        gateway = self._gateway
        await self._broker.refresh(gateway[REDIS], gateway[IMAGE_STORE], gateway[RESULTS].subscribed)
        return generate_latest(self._shown).decode()


OWN: Final = web.AppKey("own", _Own)


def own_metrics(gateway: web.Application, process: GatewayProcess) -> None:
    """Prepare the metrics of this process, which the two applications below tell."""
    gateway[OWN] = _Own(gateway, process)


def create_metrics_app(gateway: web.Application, process: GatewayProcess) -> web.Application:
    """Return the application that serves the metrics of all processes, for a socket that only Prometheus reaches.
    process: this one, of which `gateway` is the application.
    """
    others = {number: path for number, path in process.sockets.items() if number != process.number}

    async def metrics(_request: web.Request) -> web.Response:
        own, told = await asyncio.gather(gateway[OWN].text(), asyncio.gather(*map(_ask, others.values())))
        texts = (_is_away(number) if text is None else text for number, text in zip(others, told, strict=True))
        return _response(joined([own, *texts]) if others else own)

    app = web.Application()
    app.router.add_get(PATH, metrics, allow_head=False)
    return app


def create_process_app(gateway: web.Application) -> web.Application:
    """Return the application by which one of several processes tells its metrics to the first one, and whether it is
    ready to their parent.
    """

    async def metrics(_request: web.Request) -> web.Response:
        return _response(await gateway[OWN].text())

    async def ready(_request: web.Request) -> web.Response:
        state = gateway_state(gateway[RESULTS])
        return answer(Status.OK if state == OK else Status.FAIL, {"gateway": state})

    app = web.Application()
    app.router.add_get(PATH, metrics, allow_head=False)
    app.router.add_get("/readyz", ready, allow_head=False)
    return app


def joined(texts: Sequence[str]) -> str:
    """Return the metrics of several texts as one: each metric with its head once, then its series from all texts."""
    series: dict[str, list[str]] = {}
    for text in texts:
        for metric in _HEAD.split(text)[1:]:
            # What is left of the line HELP, and the line TYPE.
            name, kind, lines = metric.split("\n", 2)
            series.setdefault(f"{_HELP}{name}\n{kind}\n", []).append(lines)
    return "".join(head + "".join(lines) for head, lines in series.items())


def _is_away(number: int) -> str:
    """Return what is told of a process that does not answer."""
    registry = CollectorRegistry()
    gauge = Gauge(*PROCESS_UP, registry=registry)
    gauge.set(0)
    return generate_latest(_Labelled(registry, number)).decode()


async def _ask(path: Path) -> str | None:
    """Return the metrics of the process with that socket, None if it does not tell them within ANSWER_S."""
    try:
        async with (
            asyncio.timeout(ANSWER_S),
            aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path)), raise_for_status=True) as session,
            session.get(f"http://process{PATH}") as response,
        ):
            return await response.text()
    except (aiohttp.ClientError, OSError, TimeoutError):
        return None


def _response(text: str) -> web.Response:
    return web.Response(body=text.encode(), headers={"Content-Type": CONTENT_TYPE_LATEST})
