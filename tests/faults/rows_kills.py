"""kill -9 of every process, one at a time, all at once, and at random."""

import base64
import time
from functools import partial
from random import Random
from typing import Final

import httpx
import psutil

from faults.load import CALLERS, Load
from faults.rows import PromiseBroken, Row
from faults.stages import CHILDREN, Up, Whole, up, whole
from image_parts import large_photo
from shared.contract import Status

SHORT_S: Final = 3.0
"""Duration of kills at random: some six of them."""

NEXT_S: Final = (0.1, 0.9)
"""Least and greatest time between two kills at random."""

AWAY_S: Final = (0.0, 1.0)
"""Least and greatest time that a Valkey killed at random stays away."""


LONG_S: Final = 60.0

NEXT_LONG_S: Final = (0.2, 6.0)
"""Least and greatest time between two kills of the long row: from during the last recovery to long after it."""

SPARE_BYTES: Final = 20_000_000
"""Memory that a vision process without memory may still take: enough for the photos of the load."""

EVERYTHING: Final = "everything"

with_two_processes: Final = partial(up, FACESEARCH_GATEWAY_PROCESSES="2")
"""Stage: `facesearch up` with a gateway of two processes."""


def worker(stage: Up, _load: Load) -> float:
    """Kill the worker. `up` starts it again; its jobs go to the next one."""
    stage.kill("worker")
    return time.monotonic()


def gateway(stage: Up, _load: Load) -> float:
    """Kill the gateway. `up` starts it again, and holds the socket meanwhile, so new connections wait."""
    stage.kill("gateway")
    return time.monotonic()


def gateway_process(stage: Up, load: Load) -> float:
    """Kill one of two processes of the gateway. The other one goes on and takes the callers of the first."""
    victim = stage.service.child("--process 2/2")
    victim.kill()
    over = time.monotonic()
    load.go_on(CALLERS)
    return over


def vision_process(stage: Up, _load: Load) -> float:
    """Kill every vision process, one after the other. The images that they have go to others."""
    for process in _vision_processes(stage):
        process.kill()
    return time.monotonic()


def vision_process_without_memory(stage: Up, _load: Load) -> float:
    """Leave the vision processes no more memory than they have, and add a photo that needs more. It is answered with
    FAIL, its process is replaced, and nobody else may notice.
    """
    (facedb,) = stage.new_facedbs(1)
    photo = {"img": base64.b64encode(large_photo()).decode(), "facedb": facedb}
    for process in _vision_processes(stage):
        _, hard = process.rlimit(psutil.RLIMIT_DATA)
        process.rlimit(psutil.RLIMIT_DATA, (process.memory_info().data + SPARE_BYTES, hard))
    answer = httpx.post(f"{stage.urls[0]}/v1/addface", data=photo, headers={"X-API-Key": stage.key}, timeout=60).json()
    if answer["status"] != Status.FAIL:
        raise PromiseBroken(f"a photo that needs too much memory is answered with {answer['status']}")
    return time.monotonic()


def fork_server(stage: Up, _load: Load) -> float:
    """Kill the fork server, with which all vision processes end. The worker starts another."""
    for process in _vision_processes(stage)[:1]:
        process.parent().kill()
    return time.monotonic()


def _vision_processes(stage: Up) -> list[psutil.Process]:
    """Return the vision processes. Raises PromiseBroken without any."""
    (server,) = (
        child for child in stage.service.child("worker").children() if "fork_server" in " ".join(child.cmdline())
    )
    found = server.children()
    if not found:
        raise PromiseBroken("there are no vision processes")
    return found


def broker(stage: Up, _load: Load, away_s: float) -> float:
    """Kill the broker. It comes back with its append-only file. Recovery counts from its return."""
    stage.broker.kill()
    time.sleep(away_s)
    stage.broker.start()
    return time.monotonic()


def images(stage: Up, _load: Load) -> float:
    """Kill the image store. It comes back empty."""
    stage.images.kill()
    over = time.monotonic()
    stage.images.start()
    return over


def everything(stage: Up, _load: Load) -> float:
    """Kill everything, as a power failure does, except that the system still writes its buffers."""
    over = time.monotonic()
    stage.kill_everything()
    stage.start_everything()
    return over


def at_random(stage: Up, load: Load, seconds: float) -> float:
    """Kill any process again and again, some before the last has recovered. Valkeys stay away for up to AWAY_S."""
    chance = Random(load.seed)  # noqa: S311 -- repeatable, not secret
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(chance.uniform(*NEXT_S))
        victim = chance.choice(list(CHILDREN))
        server = {"broker": stage.broker, "images": stage.images}.get(victim)
        if server is None:
            stage.kill(victim)
            continue
        server.kill()
        time.sleep(chance.uniform(*AWAY_S))
        server.start()
    return time.monotonic()


def at_random_for_long(stage: Whole, load: Load) -> float:
    """Kill any child of `up`, which starts them again, or `up` itself with all of them. In between the load may
    recover.
    """
    chance = Random(load.seed)  # noqa: S311 -- repeatable, not secret
    end = time.monotonic() + LONG_S
    while time.monotonic() < end:
        time.sleep(chance.uniform(*NEXT_LONG_S))
        victim = chance.choice([*CHILDREN, EVERYTHING])
        if victim == EVERYTHING:
            stage.kill_everything()
            stage.start_everything()
        else:
            stage.kill(victim)
    return time.monotonic()


ROWS: Final = (
    Row("kill -9 worker", worker, quick=True),
    Row("kill -9 all vision processes", vision_process, quick=True, fails=False),
    Row("a photo needs more memory than there is", vision_process_without_memory, quick=True, fails=False),
    Row("kill -9 the fork server", fork_server, quick=True, fails=False),
    Row("kill -9 gateway", gateway, quick=True, breaks=True),
    Row("kill -9 broker, back after 1 s", partial(broker, away_s=1), quick=True),
    Row("kill -9 broker, back after 10 s", partial(broker, away_s=10), quick=True),
    Row("kill -9 image store", images, quick=True),
    Row("kill -9 everything, and start again", everything, quick=True, breaks=True),
    Row(f"kill -9 at random for {SHORT_S:.0f} s", partial(at_random, seconds=SHORT_S), quick=True, breaks=True),
    Row("kill -9 one of 2 gateway processes", gateway_process, stage=with_two_processes, breaks=True, fails=False),
    Row(f"kill -9 at random for {LONG_S:.0f} s, `up` too", at_random_for_long, stage=whole, breaks=True, adds=4000),
)
