"""Ending with the parent process."""

import ctypes
import os
import signal
import sys
from typing import Final

_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h

# Resolved before any fork: nothing may be imported or allocated between fork and exec.
_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent(number: int) -> None:
    """Ask the kernel to send this process a signal when its parent ends, even by SIGKILL. number: of the signal, 0 for
    none. Does nothing on systems other than Linux.
    """
    if sys.platform == "linux":
        _libc.prctl(_PR_SET_PDEATHSIG, number)


def ends_with(parent: int) -> bool:
    """Ask the kernel to kill this process when its parent ends, and return whether that one is still there: it may have
    ended before. parent: its process id.
    """
    die_with_parent(signal.SIGKILL)
    return os.getppid() == parent
