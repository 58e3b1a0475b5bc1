"""kill -9 of inference processes, to which the vision processes of a worker with a GPU give its models' work. Here they
use the CPU, so that every machine can play it.
"""

import os
import sys
import time
from functools import partial
from typing import Final

import psutil

from faults.load import Load
from faults.rows import PromiseBroken, Row
from faults.separate_processes import SeparateProcesses, separate_processes

with_inference_processes: Final = partial(
    separate_processes,
    worker="faults.cpu_for_gpu",
    FACESEARCH_DEVICE="cuda",
    FACESEARCH_BATCH_SIZE="2",
    FACESEARCH_THREADS="2",
    PYTHONPATH=os.pathsep.join(filter(None, sys.path)),
)
"""Stage: separate processes whose workers have an inference process each."""


def inference_processes(stage: SeparateProcesses, _load: Load) -> float:
    """Kill the inference process of every worker, with which its vision processes end. The worker starts others, and
    these get the images again.
    """
    killed = [process for part in stage.workers for process in _inference_processes(part.process.pid)]
    if len(killed) != len(stage.workers):
        raise PromiseBroken(f"{len(stage.workers)} workers have {len(killed)} inference processes")
    for process in killed:
        process.kill()
    return time.monotonic()


def _inference_processes(worker: int) -> list[psutil.Process]:
    children = psutil.Process(worker).children(recursive=True)
    return [child for child in children if "worker.inference" in child.cmdline()]


ROWS: Final = (Row("kill -9 every inference process", inference_processes, stage=with_inference_processes),)
