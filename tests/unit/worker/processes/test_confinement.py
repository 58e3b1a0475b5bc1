"""What a confined process can still do: a process of its own tries everything."""

import signal
import subprocess
import sys

import pytest

TRIAL = """
import os, resource, signal, socket, sys, threading, time
from worker.processes.confinement import confine, limit_cpu

{before}
confine(max_pixels=1_000_000)
try:
    {trial}
except BaseException as error:
    print(type(error).__name__)
"""


def outcome(trial, before=""):
    """Return what a confined process prints when it tries that, and its exit status."""
    code = TRIAL.format(trial=trial, before=before)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    return done.stdout.strip(), done.returncode


@pytest.mark.parametrize(
    "trial",
    [
        "socket.socket()",
        "socket.socketpair()",
        "open('/etc/hostname')",
        "open('made', 'w')",
        "os.listdir('/')",
        "os.pipe()",
        "os.memfd_create('x')",
    ],
)
def test_no_file_folder_or_connection_can_be_opened(trial, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", ":".join(filter(None, sys.path)))
    assert outcome(f"{trial}; print('done')") == ("OSError", 0)
    assert list(tmp_path.iterdir()) == []


def test_what_was_open_stays_open():
    said = outcome("theirs.sendall(b'x'); print(ours.recv(1))", "ours, theirs = socket.socketpair()")
    assert said == ("b'x'", 0)


def test_an_open_file_cannot_grow(tmp_path):
    made = tmp_path / "made"
    trial = "os.write(file, b'x'); print('done')"
    said, _ = outcome(
        trial, f"signal.signal(signal.SIGXFSZ, signal.SIG_IGN); file = os.open({str(made)!r}, os.O_CREAT | os.O_WRONLY)"
    )
    assert said == "OSError"
    assert made.read_bytes() == b""


def test_memory_beyond_that_of_the_largest_image_is_an_error_and_less_is_not():
    assert outcome("bytearray(500_000_000); print('done')") == ("done", 0)
    assert outcome("bytearray(600_000_000); print('done')") == ("MemoryError", 0)


def test_no_core_is_dumped_and_no_privileges_are_gained():
    before = "file = os.open('/proc/self/status', os.O_RDONLY)"
    trial = "print(resource.getrlimit(resource.RLIMIT_CORE), 'NoNewPrivs:\\t1' in os.read(file, 9999).decode())"
    assert outcome(trial, before) == ("(0, 0) True", 0)


def test_the_kernel_prefers_to_end_it_when_memory_is_short():
    before = "f = os.open('/proc/self/oom_score_adj', os.O_RDONLY)"
    assert outcome("os.lseek(f, 0, 0); print(int(os.read(f, 9)) >= 500)", before) == ("True", 0)


def test_computing_beyond_the_limit_ends_the_process():
    assert outcome("limit_cpu(0.3)\n    while True: pass")[1] == -signal.SIGPROF


def test_computing_up_to_the_limit_does_not():
    trial = (
        "limit_cpu(0.4); end = time.process_time() + 0.3\n    while time.process_time() < end: pass\n    print('done')"
    )
    assert outcome(trial) == ("done", 0)


def test_the_limit_of_computing_counts_from_the_last_call():
    trial = "end = time.process_time() + 0.5\n    while time.process_time() < end: limit_cpu(0.3)\n    print('done')"
    assert outcome(trial) == ("done", 0)
