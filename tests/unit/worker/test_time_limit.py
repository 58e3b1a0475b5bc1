"""A worker with a stuck thread ends its process."""

from pathlib import Path

import pytest

from processes import python
from worker.delivery.time_limit import CHECK_S, limit_s

pytestmark = pytest.mark.slow

SCENE = """
import ctypes, threading, time
from shared.jobs import SearchJob, new_gateway_id, new_job_id, new_request_id
from worker.delivery.time_limit import Stopwatch, TimeLimit

limit = TimeLimit(1)
job = SearchJob(job_id=new_job_id(new_gateway_id(), new_request_id()), collection="a.b.00000000", deadline=0)

def stuck():
    with limit.job(job):
        threading.Event().wait(30)

def locked():
    ctypes.PyDLL(None).sleep(30)  # with the interpreter lock

limit.start()
"""


def test_a_stuck_job_ends_the_process_and_its_stack_is_printed() -> None:
    ended = python("-c", SCENE + "threading.Thread(target=stuck).start(); time.sleep(30)")
    assert ended.returncode == 1
    assert "job_stuck" in ended.stdout + ended.stderr
    assert "in stuck" in ended.stderr


def test_an_interpreter_lock_that_is_never_released_ends_the_process() -> None:
    ended = python("-c", SCENE + "time.sleep(0.1); locked()")
    assert ended.returncode == 1
    assert "in locked" in ended.stderr


def test_a_stuck_consumer_ends_the_process_and_one_that_was_stopped_does_not() -> None:
    ended = python("-c", SCENE + "limit.consumer_ticks(); time.sleep(30)")
    assert ended.returncode == 1
    assert "consumer_stuck" in ended.stdout + ended.stderr
    ended = python("-c", SCENE + "limit.consumer_ticks(); limit.consumer_ends(); time.sleep(3); limit.stop()")
    assert ended.returncode == 0


def test_jobs_that_end_in_time_do_not_end_the_process() -> None:
    again = "for _ in range(3):\n  with limit.job(job): time.sleep(0.7)\n"
    ended = python("-c", SCENE + again + "limit.stop(); print('whole')")
    assert (ended.returncode, ended.stdout) == (0, "whole\n")


CROWDED = """
from worker.vision.memory_budget import MemoryBudget
from worker.waits import Waits

waits = Waits()
memory = MemoryBudget(100_000_000, waits)
limit.stop()
limit = TimeLimit(1, waits.seconds)
limit.start()
taken = []

def waiting():
    stopwatch = Stopwatch(waits.seconds)
    with limit.job(job, "its tag"), memory.reserve(100_000_000):
        taken.append(stopwatch.seconds())

waited = 0
with memory.reserve(100_000_000):
    thread = threading.Thread(target=waiting)
    thread.start()
    for _ in range(30):
        time.sleep(0.1)
        waited += limit.new_waits().get("its tag", 0)
thread.join()
limit.stop()
print(waited, taken[0])
"""


def test_waiting_for_memory_does_not_count_and_postpones_redelivery() -> None:
    ended = python("-c", SCENE + CROWDED)
    assert ended.returncode == 0, ended.stderr
    waited, taken = map(float, ended.stdout.split())
    assert waited > 1.5  # far beyond the limit
    assert taken < 1


STARVED = """
import subprocess, sys
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(9)]

taken, waits = [], []

def report():
    waits.append(limit.new_waits().get("its tag", 0))

def working():
    with limit.job(job, "its tag"):
        stopwatch, begun = Stopwatch(), time.monotonic()
        end = time.thread_time() + 0.3
        while time.thread_time() < end:
            pass
        taken.append((time.monotonic() - begun, stopwatch.seconds()))
        report()  # the thread that reports below waits for the processor, too

thread = threading.Thread(target=working)
thread.start()
while thread.is_alive():
    thread.join(0.5)  # as a worker; waits for the interpreter lock of a starved thread are not counted
    report()
for other in others:
    other.kill()
limit.stop()
lasted, counted = taken[0]
print(lasted, sum(waits), counted)
"""


@pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="this system has no /proc/self/schedstat")
def test_waiting_for_a_processor_does_not_count() -> None:
    ended = python("-c", "import os" + SCENE + STARVED)
    assert ended.returncode == 0, ended.stderr
    lasted, waited, taken = map(float, ended.stdout.split())
    assert lasted > 1.5  # far beyond the limit
    # The waits that postpone redelivery keep the job within the limit; what a hypervisor takes is not reported.
    assert lasted - waited < max(1, 0.15 * lasted)
    assert taken < 1  # by the job's own stopwatch


def test_a_job_that_reaches_its_limit_ends_before_it_is_delivered_again() -> None:
    """The limit, the interval of its checks and the second that kombu takes are within the visibility timeout."""
    assert limit_s(5) + CHECK_S <= 5
