"""Not to outlive the process that started one."""

import ctypes
import sys
from typing import Final

_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h

# Resolved before any fork: between fork and exec nothing may import or allocate much.
_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent(number: int) -> None:
    """Ask the kernel to send this process that signal when its parent is gone, be it by SIGKILL; 0: no signal. On
    Linux; elsewhere nothing happens.
    """
    if sys.platform == "linux":
        _libc.prctl(_PR_SET_PDEATHSIG, number)
