"""One thread of the worker is stuck, and the others go on, or cannot."""

import time
from functools import partial
from typing import Final

from faults.load import Load
from faults.rows import PromiseBroken, Row
from faults.stages import CHILDREN, Up
from faults.stopped_thread import NotStopped, stopped, why_not
from processes import wait_for

ENDS_S: Final = 15.0
"""Limit within which a stuck worker must end: its job's limit, twice that if no thread can check it, and some."""

MODEL: Final = "onnxruntime"
INTERPRETER: Final = "libpython"


def stuck(stage: Up, _load: Load, inside: str, *, main: bool = False) -> float:
    """Stop a thread for good that runs a job in code of that library, or the thread that takes jobs. The worker must
    end itself, so that `up` starts another.
    """
    over = time.monotonic()
    try:
        with stopped(stage.service.child(CHILDREN["worker"]).pid, inside, main=main) as thread:
            over = time.monotonic()
            wait_for(thread.process_ended, ENDS_S)
    except NotStopped as error:
        raise PromiseBroken(f"nothing was tested: {error}") from error
    return over


ROWS: Final = (
    Row("worker's thread stuck in a model", partial(stuck, inside=MODEL), why_not=why_not),
    Row("worker's thread stuck with the interpreter lock", partial(stuck, inside=INTERPRETER), why_not=why_not),
    Row("worker's consumer of jobs stuck", partial(stuck, inside="", main=True), why_not=why_not),
)
