"""Fuzz the running service: seeded requests of every bad kind, with valid ones in between.

python -m fuzz.run --count 20000 --seed 1    all of it, as `make fuzz` does
python -m fuzz.run --seed 1 --only 1234      one request again, with its answer
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from fuzz import header_values, histories, in_process
from fuzz.contents import made
from fuzz.fuzzer import Fuzzer, Report
from fuzz.probes import KINDS, WITH_HOSTILE
from fuzz.watch import bad_lines, callers, identities, resources
from hostile_images import IMAGES
from processes import wait_for
from service import Service
from shared import redis_clients

WARM_UP = 1000
ROUNDS = 8
"""Rounds of every hostile image before memory is measured, after the warm-up requests. By then pools are full, and ONNX
Runtime's arenas, which keep what the largest input took for each thread, have seen the largest (measured: 100 MiB,
reached after some 300 of those images and then the same for 1,400 more).
"""

SENTENCES = 120
"""More than the different sentences of INVALID_REQUEST; only sentences that repeat a caller's data are more."""

GROWTH_MB = 32
"""MiB by which a process may grow after the warm-up. A leak of 2 kB a request would be 40."""

GROWTH_FILES = 24
"""Open files by which a process, and connections by which a worker, may grow."""

CONNECTIONS = 2 * redis_clients.CONNECTIONS + 8
"""Connections of a gateway: two pools to Redis, opened when needed, which may be long after the warm-up of a busy
machine; sockets that listen, and those that its event loop wakes itself by."""

MEASUREMENTS = 3
"""The same requests are sent again this often if a process has grown: a leak grows each time, unlike memory that large
requests have needed at the same time for the first time.
"""

STEP = 1000

SHOWN = 20
"""Problems that are shown."""


def fuzz(
    service: Service, seed: int, count: int, warm_up: int, rounds: int = 0, say: Callable[[str], None] = lambda _: None
) -> Report:
    """Send `rounds` of hostile images and `warm_up` probes, measure the processes, send `count` probes and measure
    again.

    rounds 0: no hostile images, which take half a minute to make.
    """
    said, processes, others = len(service.said), identities(service), callers(service)

    def wait_until_all_have_left() -> None:
        wait_for(lambda: callers(service) <= others)

    fuzzer = Fuzzer(service, seed, WITH_HOSTILE if rounds else KINDS)
    report = fuzzer.report
    for image in IMAGES if rounds else ():
        made(image)  # now, since the time of requests counts later
    asyncio.run(fuzzer.start())
    asyncio.run(fuzzer.run(fuzzer.hostile(rounds)))
    asyncio.run(fuzzer.run(fuzzer.probes(range(warm_up))))
    wait_until_all_have_left()
    say(f"warm: {resources(service)}")
    for _ in range(MEASUREMENTS):
        report.before = resources(service)
        for start in range(warm_up, warm_up + count, STEP):
            asyncio.run(fuzzer.run(fuzzer.probes(range(start, min(start + STEP, warm_up + count)))))
            say(f"{report.requests} requests, {resources(service)}")
        wait_until_all_have_left()
        report.after = resources(service)
        if not any(_grown(report)):
            break
    asyncio.run(fuzzer.still_right())
    wait_until_all_have_left()
    report.bad_lines = bad_lines(service.said[said:])
    report.restarts = len(identities(service) - processes)
    if len(report.sentences) > SENTENCES:
        report.problems.append(f"{len(report.sentences)} different sentences: {sorted(report.sentences)[:SENTENCES]}")
    report.problems += _grown(report)
    return report


def _grown(report: Report) -> Iterator[str]:
    for name, before in report.before.items():
        after = report.after[name]
        if after.rss_mb - before.rss_mb > GROWTH_MB:
            yield f"{name} grew from {before.rss_mb} to {after.rss_mb} MiB"
        connections = CONNECTIONS if name == "gateway" else before.connections + GROWTH_FILES
        grown = after.files - before.files > GROWTH_FILES or after.connections > connections
        if grown or after.threads > before.threads:
            yield f"{name} held {before} and holds {after}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="fuzz")
    parser.add_argument("--count", type=int, default=20_000, help=f"requests after the first {WARM_UP}")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, help="number of one probe, to see it")
    options = parser.parse_args()
    json_logs = {"FACESEARCH_LOG_FORMAT": "json"}
    with tempfile.TemporaryDirectory() as folder, Service(Path(folder), json_logs) as service:
        if options.only is not None:
            show(service, options.seed, options.only)
            return
        print(in_process.run(options.count, options.seed))
        print(header_values.run(header_values.COUNT, options.seed))
        print(histories.run(histories.COUNT, options.seed))
        report = fuzz(service, options.seed, options.count, WARM_UP, ROUNDS, print)
    print(*report.problems[:SHOWN], *report.bad_lines[:SHOWN], sep="\n")
    print(report.by_kind)
    print(report.line())
    sys.exit(bool(report.problems or report.bad_lines or report.restarts))


def show(service: Service, seed: int, number: int) -> None:
    fuzzer = Fuzzer(service, seed, WITH_HOSTILE)
    what = fuzzer.probe(number)
    print(what.kind, what.raw[:2000], len(what.raw), sep="\n")
    print(asyncio.run(fuzzer.send(what)), fuzzer.report.by_status, *bad_lines(service.said), sep="\n")


if __name__ == "__main__":
    main()
