"""One thread of a process is stopped, and the others are not."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing

import pytest

from faults.stopped_thread import busiest, stopped, why_not
from processes import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(why_not()), reason=why_not())]

COMPUTES = "libcrypto"
"""The library in which it computes."""

# A thread computes without the interpreter lock most of the time; the main thread prints how often it did.
WORK = """
import hashlib, threading, sys
done = 0
def work():
    global done
    while True:
        hashlib.sha256(bytes(3_000_000)).digest()
        done += 1
threading.Thread(target=work, daemon=True).start()
for _ in sys.stdin:
    print(done, flush=True)
"""


@pytest.fixture
def working() -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", WORK]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        with closing(process.stdin):
            wait_for(lambda: done(process) > 2)
            yield process
            process.kill()


def done(process: subprocess.Popen[str]) -> int:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("how many?\n")
    process.stdin.flush()
    return int(process.stdout.readline())


def test_the_busiest_thread_stops_while_others_go_on(working: subprocess.Popen[str]) -> None:
    with stopped(working.pid, COMPUTES) as thread:
        before = done(working)
        for _ in range(1000):
            assert done(working) == before
        assert not thread.process_ended()
    wait_for(lambda: done(working) > before + 2)


def test_the_end_of_the_process_is_noticed_and_the_process_is_gone(working: subprocess.Popen[str]) -> None:
    with stopped(working.pid, COMPUTES) as thread:
        working.kill()
        wait_for(thread.process_ended)
        assert working.wait(10) < 0


def test_the_busiest_thread_is_not_the_main_thread(working: subprocess.Popen[str]) -> None:
    assert busiest(working.pid) != working.pid
