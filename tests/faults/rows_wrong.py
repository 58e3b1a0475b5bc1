"""Mistakes of operators: a data directory in use, Ctrl-C at a bad moment, too little memory, another model."""

import signal
import time
from typing import Final

from redis import Redis

from faults.load import Load
from faults.rows import PromiseBroken, Row
from faults.separate_processes import SeparateProcesses, python_part, separate_processes
from faults.stages import Up, Whole, whole
from processes import python, two_free_ports, wait_for
from shared.broker import UNACKED
from shared.calls import ADD_FACE
from shared.contract import Status

OTHER_EMBEDDER: Final = "sface-2021dec-int8"
"""An embedder made from the file of the default one, so that nothing has to be fetched."""

LASTS_S: Final = 3.0
"""Duration of a wrong state: some 60 requests."""


def other_identity(stage: SeparateProcesses, _load: Load) -> float:
    """Start a third worker with another embedder. It logs the error and does no harm, whether or not it ends."""
    other = {"FACESEARCH_EMBEDDER": OTHER_EMBEDDER}
    pulled = python("-m", "facesearch", "models", "pull", **other)
    if pulled.returncode:
        raise PromiseBroken(f"the other model cannot be had: {pulled.stderr}")
    wrong = python_part("worker", stage.folder / "other.log", stage.environment | other)
    wrong.start()
    try:
        wait_for(lambda: not wrong.runs() or stage.living_workers() > len(stage.workers))
        time.sleep(LASTS_S)
    finally:
        wrong.kill()
    over = time.monotonic()
    if OTHER_EMBEDDER not in wrong.said():
        raise PromiseBroken(f"a worker of another identity does not say so: {wrong.said()[-300:]}")
    return over


def second_instance(stage: Up, _load: Load) -> float:
    """Start a second `up` and a second worker on the data directory: neither may start, and each says why."""
    folder = str(stage.service.folder)
    environment = {**stage.service.settings, "FACESEARCH_DATA_DIR": folder}
    for command in (("facesearch", "up", "--port", str(two_free_ports())), ("worker",)):
        done = python("-m", *command, **environment)
        said = done.stdout + done.stderr
        if done.returncode == 0 or "in use by another" not in said:
            raise PromiseBroken(f"{command[0]} on a data directory in use: status {done.returncode}, {said[-300:]}")
    return time.monotonic()


def interrupted(stage: Whole, _load: Load) -> float:
    """Press Ctrl-C while jobs run, then start again on the same data directory. Recovery counts from that start."""
    with Redis.from_url(stage.broker_url) as redis:
        wait_for(lambda: redis.hlen(UNACKED) > 0)
    status = stage.service.stop(signal.SIGINT)
    if status:
        raise PromiseBroken(f"`facesearch up` ended with status {status} after Ctrl-C")
    over = time.monotonic()
    stage.start_everything()
    return over


def out_of_memory(stage: Up, load: Load) -> float:
    """Set the broker's memory limit below what it holds, without eviction: it refuses writes. Jobs run when it begins,
    and one request is sent after they have failed.
    """
    with Redis.from_url(stage.broker_url) as redis:
        redis.config_set("maxmemory", redis.info("memory")["used_memory"] // 2)
        time.sleep(LASTS_S)
        status = load.ask(ADD_FACE)
        redis.config_set("maxmemory", 0)
    if status != Status.FAIL:
        raise PromiseBroken(f"a broker without memory, and an add was answered {status}")
    return time.monotonic()


ROWS: Final = (
    Row("second instance on the data directory", second_instance, fails=False),
    Row("Ctrl-C in the middle of adds, and start again", interrupted, stage=whole, breaks=True),
    Row(f"broker out of memory for {LASTS_S:.0f} s", out_of_memory),
    Row("worker of another identity beside two right ones", other_identity, stage=separate_processes, faces=5),
)
