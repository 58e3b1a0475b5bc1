"""What a vision process may not do: it decodes what strangers send, with libraries written in C.

The process gives up these rights itself and needs no privileges for that. It keeps the file descriptors that it has and
gets no other: it can open no file and no socket, so it reaches neither the data directory nor the network, whatever an
image makes of a decoder.
"""

import ctypes
import resource
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

WORK_BYTES: Final = 512_000_000
"""Memory for all but the decoded image: 20 times what detection and embedding were seen to take."""

PIXEL_BYTES: Final = 20
"""Memory for each pixel of the largest image: a progressive JPEG of four components takes 16 (decoding_memory.py)."""

OOM_SCORE: Final = 500
"""Points, of 1,000, by which the kernel prefers to end a vision process when memory is short: the worker has the store.
Source: Documentation/filesystems/proc.rst, oom_score_adj."""

_PR_SET_NO_NEW_PRIVS: Final = 38  # linux/prctl.h


def confine(max_pixels: int) -> None:
    """Give up for good, in this process: new file descriptors, new processes and threads, files, core dumps, other
    privileges, and more memory than the decoding of an image of max_pixels pixels needs.

    Memory beyond the limit raises MemoryError, or what a library makes of it.
    """
    with suppress(OSError):  # Linux only
        Path("/proc/self/oom_score_adj").write_text(str(OOM_SCORE))
    data = _data_bytes()
    if data is not None:
        _limit(resource.RLIMIT_DATA, data + WORK_BYTES + PIXEL_BYTES * max_pixels)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_NPROC, 0)
    _limit(resource.RLIMIT_NOFILE, 0)


def limit_cpu(seconds: float) -> None:
    """Let the kernel end this process by SIGPROF once it has computed for that many seconds from now on.

    Not by RLIMIT_CPU, which counts whole seconds and from the start of the process.
    """
    signal.setitimer(signal.ITIMER_PROF, seconds)


def _limit(what: int, most: int) -> None:
    _, hard = resource.getrlimit(what)
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(what, (most, most))


def _data_bytes() -> int | None:
    """Return the memory that RLIMIT_DATA counts, None if unknown. Source: proc(5), VmData."""
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            name, _, value = line.partition(":")
            if name == "VmData":
                return int(value.split()[0]) * 1024
    except OSError:
        pass
    return None
