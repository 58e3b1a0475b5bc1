"""Run the service for long under all calls, valid and invalid, and report what grows.

python -m soak.run --minutes 30 --seed 1        as `make soak` does

The first third of the time is a warm-up that counts for no slope. Before it every hostile image is sent several times.
"""

import argparse
import asyncio
import itertools
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx
import psutil

from contract.tenants import new_tenant
from faults.webhooks import Webhooks
from fuzz.contents import made
from fuzz.fuzzer import Fuzzer
from fuzz.probes import KINDS, WITH_HOSTILE
from fuzz.run import ROUNDS
from fuzz.watch import bad_lines, callers, identities
from hostile_images import IMAGES
from https_receiver import Receiver, make_webhook_secret, receiving, webhooks_to
from processes import wait_for
from service import Service
from shared.control import Control
from shared.redis_clients import connect
from shared.settings import Settings
from soak import verdict
from soak.readings import Reader, Reading
from soak.regulars import PATIENCE_S, REGULARS, Regular, Tally
from soak.trend import Trend

WARM_PART: Final = 1 / 3
"""Warm-up as a part of the time. By then pools are full, every kind of request has met every thread, and objects that
live as long as a request have come and gone many times.
"""

EVERY_S: Final = 5.0
"""Seconds between two readings, each of which takes the processes 10 ms and Redis 1 ms for each thousand keys."""

FIRST: Final = 5
"""Searches of each regular caller, one after the other, before all begin at once: a gateway learns from its first
answers how fast the service is, and the very first ones are slow.
"""

WEBHOOKS: Final = "soak"
"""The path to which the outcomes of jobs are sent."""

WEBHOOKS_S: Final = 45.0
"""Seconds within which all of them must have come: longer than the lease of a gateway that was killed."""

SHOWN: Final = 20
"""Problems that are shown."""


@dataclass
class Report:
    """The results of a run."""

    minutes: float
    requests: int = 0
    restarts: int = 0
    lost: set[str] = field(default_factory=set)
    doubled: set[str] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)
    rows: list[verdict.Row] = field(default_factory=list)
    kept: dict[str, tuple[int, int]] = field(default_factory=dict)

    @property
    def well(self) -> bool:
        return not (self.lost or self.doubled or self.problems or self.restarts)

    def trend(self, process: str, quantity: str) -> Trend:
        return next(row.trend for row in self.rows if (row.process, row.quantity) == (process, quantity))

    def line(self) -> str:
        def slope(process: str, quantity: str) -> str:
            return f"{self.trend(process, quantity).per_h:.1f}"

        names = ("up", "worker", "gateway", "broker", "images")
        memory = " ".join(f"{name}_mb_per_h={slope(name, 'memory, MiB')}" for name in names)
        files = " ".join(f"{name}_files_per_h={slope(name, 'open files')}" for name in ("worker", "gateway"))
        threads = " ".join(f"{name}_threads_per_h={slope(name, 'threads')}" for name in ("worker", "gateway"))
        return (
            f"soak: minutes={self.minutes:g} requests={self.requests} lost={len(self.lost)} "
            f"doubled={len(self.doubled)} {memory} {files} {threads} problems={len(self.problems)} "
            f"restarts={self.restarts}"
        )


def soak(
    service: Service,
    minutes: float,
    seed: int,
    every_s: float = EVERY_S,
    *,
    least: int = 0,
    hostile: bool = True,
    receiver: Receiver | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Report:
    """Load the service for that time, measure it meanwhile, and judge the readings.

    least: the fewest requests, for which the time is extended. hostile: whether to send hostile images too, which take
    half a minute to make and as long to send before the time begins. receiver: gets the webhooks of the regular
    callers, if the service may send them there.
    """
    said, processes, others = len(service.said), identities(service), callers(service)
    report, tally = Report(minutes), Tally()
    fuzzer = Fuzzer(service, seed, WITH_HOSTILE if hostile else KINDS)
    for image in IMAGES if hostile else ():
        made(image)  # now, since the time of requests counts later
    tenant, key, facedbs = _facedbs(service)
    webhooks = None if receiver is None else Webhooks(receiver, make_webhook_secret(service.broker, tenant))
    webhook = "" if webhooks is None else webhooks.url(WEBHOOKS)
    deadline_s = float(service.settings.get("FACESEARCH_DEADLINE_S", Settings().deadline_s))
    with closing(Reader(service)) as reader:

        async def all_of_it() -> list[Reading]:
            await fuzzer.start()
            limits = httpx.Limits(max_connections=REGULARS)
            headers = {"X-API-Key": key}
            async with httpx.AsyncClient(
                base_url=service.address, headers=headers, limits=limits, timeout=deadline_s + PATIENCE_S
            ) as http:
                regulars = [
                    Regular(http, facedb, number, seed, tally, deadline_s, webhook)
                    for number, facedb in enumerate(facedbs)
                ]
                for regular in regulars:
                    await regular.begin()
                for regular in FIRST * regulars:
                    await regular.search()
                await fuzzer.run(fuzzer.hostile(ROUNDS if hostile else 0))
                load = _Load(fuzzer, regulars, tally, reader, minutes, least, every_s, say)
                readings = await load.run()
                for regular in regulars:
                    await regular.search()
            await fuzzer.still_right()
            return readings

        readings = asyncio.run(all_of_it())
        wait_for(lambda: callers(service) <= others)
        wait_for(lambda: not reader.has("fs:async:jobs"))
        missed = [] if webhooks is None else webhooks.problems(WEBHOOKS, tally.jobs, WEBHOOKS_S)
        last = reader.read(readings[-1].at, tally.requests + fuzzer.report.requests)
        to_live, each = reader.to_live(), reader.bytes_each()
    warm = [reading for reading in readings if reading.at >= readings[-1].at * WARM_PART]
    report.requests = tally.requests + fuzzer.report.requests
    report.lost, report.doubled = tally.lost, tally.doubled
    report.rows = verdict.rows(warm, deadline_s)
    report.kept = {kind: (last.stores["broker"].kinds[kind], size) for kind, size in each.items()}
    # Probes that add give no name, and the added face is deleted again, without a key.
    adds = fuzzer.report.requests
    most = {
        "fs:once": tally.keyed,
        "fs:drawn": tally.unnamed + adds,
        "fs:deletion": tally.deletions + adds,
        "fs:async:job": len(tally.jobs) + fuzzer.report.requests,
    }
    report.problems = [
        *bad_lines(service.said[said:]),
        *verdict.growth(report.rows),
        *verdict.too_many(last, most),
        *verdict.overstaying(to_live, deadline_s),
        *tally.problems,
        *missed,
        *fuzzer.report.problems,
    ]
    report.restarts = len(identities(service) - processes)
    return report


class _Load:
    """Fuzzing, regular callers and readings at once, in one event loop; readings are taken in a thread."""

    def __init__(
        self,
        fuzzer: Fuzzer,
        regulars: list[Regular],
        tally: Tally,
        reader: Reader,
        minutes: float,
        least: int,
        every_s: float,
        say: Callable[[str], None],
    ) -> None:
        self._fuzzer = fuzzer
        self._regulars = regulars
        self._tally = tally
        self._reader = reader
        self._seconds = minutes * 60
        self._least = least
        self._every_s = every_s
        self._say = say

    async def run(self) -> list[Reading]:
        self._begun = time.monotonic()
        probes = itertools.takewhile(lambda _: not self._is_over(), self._fuzzer.probes(itertools.count()))
        async with asyncio.TaskGroup() as group:
            group.create_task(self._fuzzer.run(probes))
            for regular in self._regulars:
                group.create_task(regular.run(self._is_over))
            looking = group.create_task(self._take_readings())
        return looking.result()

    def _is_over(self) -> bool:
        return self._age() >= self._seconds and self._sent() >= self._least

    def _sent(self) -> int:
        return self._tally.requests + self._fuzzer.report.requests

    def _age(self) -> float:
        return time.monotonic() - self._begun

    async def _take_readings(self) -> list[Reading]:
        readings: list[Reading] = []
        minutes = 0
        while not self._is_over():
            with suppress(LookupError, psutil.NoSuchProcess):  # a restarted process is reported in the end
                readings.append(await asyncio.to_thread(self._reader.read, self._age(), self._sent()))
            if readings and self._age() >= 60 * (minutes + 1):
                minutes += 1
                self._say(self._progress(minutes, readings[-1]))
            await asyncio.sleep(self._every_s)
        return readings

    def _progress(self, minutes: int, reading: Reading) -> str:
        held = "  ".join(f"{name} {process.memory_mb:.0f} MiB" for name, process in reading.processes.items())
        keys = sum(sum(store.kinds.values()) for store in reading.stores.values())
        return f"minute {minutes}: {reading.requests} requests, {held}, {keys} keys"


def _facedbs(service: Service) -> tuple[str, str, list[str]]:
    """Return a new tenant, its key, and its empty facedbs."""
    tenant, keys = new_tenant(service.broker, soak={})
    names = [f"s{number}" for number in range(REGULARS)]

    async def create() -> None:
        async with connect(service.broker) as redis:
            for name in names:
                await Control(redis).create_facedb(tenant, name)

    asyncio.run(create())
    return tenant, keys["soak"], names


def main() -> None:
    parser = argparse.ArgumentParser(prog="soak")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    json_logs = {"FACESEARCH_LOG_FORMAT": "json"}
    with (
        tempfile.TemporaryDirectory() as folder,
        receiving(Path(folder)) as receiver,
        Service(Path(folder) / "data", json_logs | webhooks_to(receiver)) as service,
    ):
        report = soak(
            service, options.minutes, options.seed, receiver=receiver, say=lambda text: print(text, flush=True)
        )
    print(*verdict.table(report.rows), sep="\n")
    for kind, (count, size) in report.kept.items():
        print(f"{kind}: {count} keys of {size} bytes each, until they expire")
    print(*report.problems[:SHOWN], *sorted(report.lost)[:SHOWN], *sorted(report.doubled)[:SHOWN], sep="\n")
    print(report.line())
    sys.exit(not report.well)


if __name__ == "__main__":
    main()
