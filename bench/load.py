"""A closed-loop load generator, in a process of its own: so many callers, each asking again once it has its answer.

    .venv/bin/python bench/load.py ADDRESS KEY addface|searchface CALLERS SECONDS [PHOTO...]

Prints one JSON object: answers by status, requests a second, latency in milliseconds, its own CPU a request. It speaks
HTTP by hand over kept connections: a full client would take more of the shared cores than the gateway does.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from itertools import cycle
from pathlib import Path
from urllib.parse import quote, urlsplit

import matplotlib as mpl
import numpy as np
import pybase64
import uvloop

WARM_UP = 2
"""Answers that each caller takes before anything counts."""


def body(photo: Path) -> bytes:
    """A form as the contract has it."""
    return b"img=" + quote(pybase64.b64encode(photo.read_bytes()), safe="").encode()


def request(address: str, key: str, call: str, form: bytes) -> bytes:
    """A whole HTTP request."""
    head = (
        f"POST /v1/{call} HTTP/1.1\r\nHost: {urlsplit(address).netloc}\r\nX-API-Key: {key}\r\n"
        f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(form)}\r\n\r\n"
    )
    return head.encode() + form


async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, message: bytes) -> str:
    """The contract status of the answer."""
    writer.write(message)
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
    return str(json.loads(await reader.readexactly(length))["status"])


class Load:
    """All callers: they warm up, wait for each other, and then ask for so many seconds."""

    def __init__(self, address: str, messages: list[bytes], callers: int, seconds: float) -> None:
        self._url = urlsplit(address)
        self._messages = messages
        self._callers = callers
        self._seconds = seconds
        self._ready = asyncio.Barrier(callers)
        self.seen: list[tuple[float, str]] = []

    async def run(self) -> None:
        await asyncio.gather(*(self._ask(number) for number in range(self._callers)))

    async def _ask(self, number: int) -> None:
        reader, writer = await asyncio.open_connection(self._url.hostname, self._url.port, limit=1 << 20)
        first = number % len(self._messages)
        turn = cycle(self._messages[first:] + self._messages[:first])
        for _ in range(WARM_UP):
            await exchange(reader, writer, next(turn))
        await self._ready.wait()
        until = time.perf_counter() + self._seconds
        while time.perf_counter() < until:
            asked = time.perf_counter()
            status = await exchange(reader, writer, next(turn))
            self.seen.append((time.perf_counter() - asked, status))
        writer.close()


async def run(address: str, key: str, call: str, callers: int, seconds: float, photos: list[Path]) -> dict[str, object]:
    """The report."""
    load = Load(address, [request(address, key, call, body(photo)) for photo in photos], callers, seconds)
    cpu = time.process_time()
    start = time.perf_counter()
    await load.run()
    took, cpu = time.perf_counter() - start, time.process_time() - cpu
    p50, p95, p99 = np.percentile(np.array([latency for latency, _ in load.seen]) * 1e3, [50, 95, 99])
    total = len(load.seen) + WARM_UP * callers
    return {
        "call": call,
        "callers": callers,
        "answers": dict(Counter(status for _, status in load.seen)),
        "requests": total,
        "per_second": round(total / took, 2),
        "p50_ms": round(float(p50), 2),
        "p95_ms": round(float(p95), 2),
        "p99_ms": round(float(p99), 2),
        "load_cpu_ms": round(cpu * 1e3 / total, 3),
    }


def main() -> None:
    address, key, call, callers, seconds, *names = sys.argv[1:]
    photos = [Path(name) for name in names] or [Path(mpl.get_data_path()) / "sample_data/grace_hopper.jpg"]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(json.dumps(runner.run(run(address, key, call, int(callers), float(seconds), photos))))


if __name__ == "__main__":
    main()
