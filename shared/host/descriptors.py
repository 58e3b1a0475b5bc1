"""The limit of open files and connections of a process."""

import resource
from contextlib import suppress
from typing import Final

MOST: Final = 1 << 20
"""The highest limit that is set: Linux's default for fs.nr_open. A container may allow a billion, and Valkey and others
make tables as large as their limit."""


def raise_limit() -> int:
    """Raise the soft limit of descriptors of this process and its children to the hard limit, and return it.

    The usual soft limit of 1,024 is for programs that call select() on many descriptors.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST if hard == resource.RLIM_INFINITY else min(hard, MOST)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(ValueError, OSError):  # macOS has a lower limit beside it
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST if soft == resource.RLIM_INFINITY else soft
