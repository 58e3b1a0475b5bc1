"""A periodic thread survives errors of its task, and can be stopped."""

import threading

import pytest
from redis import ConnectionError as RedisConnectionError

from worker.periodic import Periodic


@pytest.mark.parametrize("error", [RedisConnectionError, ZeroDivisionError])
def test_a_task_that_fails_is_tried_again(error: type[Exception]) -> None:
    calls: list[int] = []
    enough = threading.Event()

    def task() -> None:
        calls.append(1)
        if len(calls) == 3:
            enough.set()
        raise error

    periodic = Periodic("test", task, interval_s=0.001)
    periodic.start()
    assert enough.wait(10)
    periodic.stop()
    count = len(calls)
    assert not [thread for thread in threading.enumerate() if thread.name == "test"]
    assert len(calls) == count


def test_the_task_runs_at_once_and_after_each_restart() -> None:
    ran = threading.Event()
    periodic = Periodic("test", ran.set, interval_s=3600)
    periodic.stop()  # nothing to stop yet
    for _ in range(2):
        ran.clear()
        periodic.start()
        assert ran.wait(10)
        periodic.stop()
