"""Stopping one thread of another process while all others go on, as a driver, a disk or a bug may do.

It is stopped as by a debugger (ptrace), at any instruction.
"""

import ctypes
import errno
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Final

_SEIZE: Final = 0x4206
_INTERRUPT: Final = 0x4207
_DETACH: Final = 17
_WALL: Final = 0x40000000
"""Constants of linux/ptrace.h and linux/wait.h."""

WATCH_S: Final = 0.5
"""How long threads are watched to find the busiest one."""

IN_NO_CALL: Final = "-1"
"""The kernel's value in place of a system call's number for a thread that is in none."""

TRIES: Final = 1000
NEXT_S: Final = 0.003
"""The most attempts to stop a thread in a library, and the seconds between two. Under load every third one finds a
worker's thread in ONNX Runtime, and every twentieth in the interpreter.
"""


class NotStopped(Exception):
    """The thread could not be stopped in the given library."""


class StoppedThread:
    """A thread that stays stopped until it is released or its process ends."""

    def __init__(self, tid: int) -> None:
        self._tid = tid

    def process_ended(self) -> bool:
        """Return whether its process has ended. Must be called by the thread that stopped it: the kernel keeps the
        process in its table until then.
        """
        try:
            ended, status = os.waitpid(self._tid, os.WNOHANG | _WALL)
        except ChildProcessError:
            return True
        return ended == self._tid and (os.WIFSIGNALED(status) or os.WIFEXITED(status))

    def release(self) -> None:
        with suppress(ProcessLookupError):
            _ptrace(_DETACH, self._tid)


@contextmanager
def stopped(pid: int, inside: str, *, main: bool = False) -> Iterator[StoppedThread]:
    """Stop the busiest thread besides the main one while it computes in a library whose path contains `inside` ("" for
    anywhere), or the main thread. It is released at the end of the block.

    Raises NotStopped if the thread is never there, PermissionError where ptrace is not allowed.
    """
    tid = pid if main else busiest(pid)
    thread = StoppedThread(tid)
    for _ in range(TRIES):
        _ptrace(_SEIZE, tid)
        _ptrace(_INTERRUPT, tid)
        os.waitpid(tid, _WALL)
        if inside in _library(pid, tid):
            break
        thread.release()
        time.sleep(NEXT_S)
    else:
        raise NotStopped(f"thread {tid} is never in {inside}")
    try:
        yield thread
    finally:
        thread.release()


def busiest(pid: int) -> int:
    """Return the id of the thread that takes most of the CPU, besides the main one."""
    before = _cpu(pid)
    time.sleep(WATCH_S)
    after = _cpu(pid)
    return max((tid for tid in after if tid != pid), key=lambda tid: after[tid] - before.get(tid, 0))


def _cpu(pid: int) -> dict[int, int]:
    """Return the CPU ticks of each thread so far."""
    found = {}
    for entry in Path(f"/proc/{pid}/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            found[int(entry.name)] = int(fields[11]) + int(fields[12])
    return found


def _library(pid: int, tid: int) -> str:
    """Return the path of the file whose code a stopped thread is in; "" in a system call, or in code of no file."""
    call, *registers = Path(f"/proc/{pid}/task/{tid}/syscall").read_text().split()
    if call != IN_NO_CALL:
        return ""
    at = int(registers[-1], 16)
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        begin, end = (int(address, 16) for address in line.split()[0].split("-"))
        if begin <= at < end:
            return line.partition("/")[2]
    return ""


def _ptrace(request: int, tid: int) -> None:
    """Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.restype = ctypes.c_long
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    if libc.ptrace(request, tid, None, None) == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"ptrace: {errno.errorcode.get(number, number)}")


@cache
def why_not() -> str:
    """Return why no thread can be stopped here, "" if one can."""
    if not sys.platform.startswith("linux"):
        return "only Linux stops single threads"
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        try:
            _ptrace(_SEIZE, process.pid)
            _ptrace(_DETACH, process.pid)
        except ProcessLookupError:
            pass  # DETACH of a thread that was not stopped
        except OSError as error:
            return str(error)
        finally:
            process.kill()
    return ""
