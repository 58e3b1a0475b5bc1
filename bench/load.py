"""A load generator, in a process of its own.

    .venv/bin/python bench/load.py ADDRESS KEY CALL closed CALLERS SECONDS PHOTO...
    .venv/bin/python bench/load.py ADDRESS KEY CALL open RATE SECONDS PHOTO...

closed: CALLERS callers, each sending its next request when it has its answer; counting begins when each has had one.
open: RATE requests a second, each sent when it is due, whether or not earlier ones are answered; counting begins after
a second. Prints one JSON object: answers by status, answered requests a second, their latency in milliseconds, its own
CPU a request. With open, latency counts from when a request was due, and requests that were refused at once are
separated from those that waited and were not served.
"""

import asyncio
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import uvloop
from calls import Connections, form, request
from summaries import latencies

RAMP_S: Final = 1.0
"""Start of an open loop that is not counted; by then the service's queues are full."""

FAIL: Final = "FAIL"
DONE: Final = frozenset({"OK", "NO_SIMILAR_FACE", "FACE_DETECT_FAILED"})
"""Statuses of images that were processed."""

REFUSED_WITHIN_S: Final = 3.0
"""Seconds within which a FAIL is a refusal. A later one waited and was not served: no measured deadline is shorter."""

Ask = Callable[[int], Awaitable[str]]
"""Sends the n-th request and returns its status."""


@dataclass(frozen=True)
class Seen:
    """One request; times in seconds since the load began. due: when it should be sent; sent: when it was."""

    due: float
    sent: float
    answered: float
    status: str

    @property
    def took(self) -> float:
        return self.answered - self.due


def arrivals(rate: float, seconds: float, seed: int = 1) -> list[float]:
    """Return the times at which requests are due in a Poisson process of `rate` a second.

    In [0, seconds), ascending; the same for the same seed.
    """
    gaps = random.Random(seed)  # noqa: S311 -- to be repeated, not to be secret
    due: list[float] = []
    at = gaps.expovariate(rate)
    while at < seconds:
        due.append(at)
        at += gaps.expovariate(rate)
    return due


async def closed_loop(ask: Ask, callers: int, seconds: float) -> tuple[list[Seen], float]:
    """Return all requests, and the time from which they count."""
    seen: list[Seen] = []
    begun = time.perf_counter()
    waiting = set(range(callers))
    counted = float("inf")

    async def caller(number: int) -> None:
        nonlocal counted
        turn = number
        while time.perf_counter() - begun < counted + seconds:
            sent = time.perf_counter() - begun
            status = await ask(turn)
            answered = time.perf_counter() - begun
            seen.append(Seen(sent, sent, answered, status))
            turn += callers
            waiting.discard(number)
            if not waiting and counted == float("inf"):
                counted = answered

    await asyncio.gather(*map(caller, range(callers)))
    return seen, counted


async def open_loop(ask: Ask, due: Sequence[float]) -> list[Seen]:
    """Return all requests, including those answered late."""
    begun = time.perf_counter()

    async def one(number: int, due_at: float) -> Seen:
        sent = time.perf_counter() - begun
        status = await ask(number)
        return Seen(due_at, sent, time.perf_counter() - begun, status)

    async with asyncio.TaskGroup() as group:
        tasks = []
        for number, due_at in enumerate(due):
            early = due_at - (time.perf_counter() - begun)
            if early > 0:
                await asyncio.sleep(early)
            tasks.append(group.create_task(one(number, due_at)))
    return [task.result() for task in tasks]


def closed_report(seen: Sequence[Seen], counted: float, seconds: float) -> dict[str, Any]:
    """Return figures of the requests that were answered in the `seconds` after `counted`."""
    counting = [one for one in seen if counted <= one.answered < counted + seconds]
    good = [one.took for one in counting if one.status in DONE]
    return {
        "requests": len(seen),
        "answers": dict(Counter(one.status for one in counting)),
        "per_second": round(len(good) / seconds, 2),
        **latencies(good),
    }


def open_report(seen: Sequence[Seen], seconds: float) -> dict[str, Any]:
    """Return the throughput between the ramp and the end of the arrivals, and the other figures of all requests."""
    good = [one for one in seen if one.status in DONE]
    refused = [one.answered - one.sent for one in seen if one.status == FAIL and one.took < REFUSED_WITHIN_S]
    in_vain = [
        one.took for one in seen if one.status not in DONE and (one.status != FAIL or one.took >= REFUSED_WITHIN_S)
    ]
    late = float(np.percentile([one.sent - one.due for one in seen], 99)) if seen else 0.0
    return {
        "requests": len(seen),
        "answers": dict(Counter(one.status for one in seen)),
        "per_second": round(sum(RAMP_S <= one.answered < seconds for one in good) / (seconds - RAMP_S), 2),
        **latencies([one.took for one in good]),
        "longest_ms": round(max((one.took for one in good), default=0.0) * 1e3, 2),
        "refused": {"count": len(refused), **latencies(refused)},
        "in_vain": {"count": len(in_vain), **latencies(in_vain)},
        "sent_late_p99_ms": round(late * 1e3, 2),
    }


async def run(
    address: str, key: str, call: str, way: str, amount: float, seconds: float, photos: Sequence[Path]
) -> Any:
    """Run the load and return its report."""
    messages = [request(address, key, call, form(call, photo)) for photo in photos]
    connections = Connections(address)
    cpu = time.process_time()

    def ask(number: int) -> Awaitable[str]:
        return connections.ask(messages[number % len(messages)])

    if way == "closed":
        report = {
            "call": call,
            "callers": int(amount),
            **closed_report(*await closed_loop(ask, int(amount), seconds), seconds),
        }
    else:
        report = {"call": call, "rate": amount, **open_report(await open_loop(ask, arrivals(amount, seconds)), seconds)}
    connections.close()
    return report | {"load_cpu_ms": round((time.process_time() - cpu) * 1e3 / max(1, report["requests"]), 3)}


def main() -> None:
    address, key, call, way, amount, seconds, *names = sys.argv[1:]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(json.dumps(runner.run(run(address, key, call, way, float(amount), float(seconds), [*map(Path, names)]))))


if __name__ == "__main__":
    main()
