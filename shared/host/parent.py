"""Ending with the parent process."""

import ctypes
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
