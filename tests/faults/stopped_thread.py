"""One thread of another process that stops, while all others go on: what a driver, a disk or a bug may do to it.

It is stopped as a debugger does it (ptrace), in the midst of whatever it was doing.
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
"""Of linux/ptrace.h and linux/wait.h."""

WATCH_S: Final = 0.5
"""How long threads are watched, to see which one works most."""

IN_NO_CALL: Final = "-1"
"""What the kernel tells, in the place of a system call's number, of a thread that is in none."""

TRIES: Final = 1000
NEXT_S: Final = 0.003
"""To stop a thread where it is to be, and between two tries. Under load each third one meets a worker's thread in ONNX
Runtime, and each twentieth in the interpreter."""


class NotStopped(Exception):
    """The thread could not be stopped as it was to be."""


class StoppedThread:
    """A thread that stays where it is until it is let go, or its process ends."""

    def __init__(self, tid: int) -> None:
        self._tid = tid

    def process_ended(self) -> bool:
        """Whether its process has ended meanwhile. To be asked by the thread that stopped it: until it has been told,
        the kernel keeps the process in its table.
        """
        try:
            ended, status = os.waitpid(self._tid, os.WNOHANG | _WALL)
        except ChildProcessError:
            return True
        return ended == self._tid and (os.WIFSIGNALED(status) or os.WIFEXITED(status))

    def let_go(self) -> None:
        with suppress(ProcessLookupError):
            _ptrace(_DETACH, self._tid)


@contextmanager
def stopped(pid: int, inside: str, *, main: bool = False) -> Iterator[StoppedThread]:
    """The thread that works most, besides the main one, stopped while it computes in a library whose path holds that
    text; or the main one. "" is anywhere. Let go at the end of the block.

    Raises NotStopped when it is never there, PermissionError where ptrace is not allowed.
    """
    tid = pid if main else busiest(pid)
    thread = StoppedThread(tid)
    for _ in range(TRIES):
        _ptrace(_SEIZE, tid)
        _ptrace(_INTERRUPT, tid)
        os.waitpid(tid, _WALL)
        if inside in _library(pid, tid):
            break
        thread.let_go()
        time.sleep(NEXT_S)
    else:
        raise NotStopped(f"thread {tid} is never in {inside}")
    try:
        yield thread
    finally:
        thread.let_go()


def busiest(pid: int) -> int:
    """Id of the thread that takes most of the CPU, besides the main one."""
    before = _cpu(pid)
    time.sleep(WATCH_S)
    after = _cpu(pid)
    return max((tid for tid in after if tid != pid), key=lambda tid: after[tid] - before.get(tid, 0))


def _cpu(pid: int) -> dict[int, int]:
    """Ticks of CPU of each thread so far."""
    found = {}
    for entry in Path(f"/proc/{pid}/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            found[int(entry.name)] = int(fields[11]) + int(fields[12])
    return found


def _library(pid: int, tid: int) -> str:
    """Path of the file whose code a stopped thread is in; "" in a system call, or in code of no file."""
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
    """Why no thread can be stopped here, "" if one can."""
    if not sys.platform.startswith("linux"):
        return "only Linux stops single threads"
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        try:
            _ptrace(_SEIZE, process.pid)
            _ptrace(_DETACH, process.pid)
        except ProcessLookupError:
            pass  # DETACH of one that was not stopped
        except OSError as error:
            return str(error)
        finally:
            process.kill()
    return ""
