"""How many files and connections a process may have open at once."""

import resource
from contextlib import suppress
from typing import Final

MOST: Final = 1 << 20
"""What is asked for at most: Linux's own default for fs.nr_open, where a container may be allowed a billion. Valkey and
others make tables as large as their limit."""


def raise_limit() -> int:
    """Raise this process's soft limit of descriptors to the hard one, for itself and what it starts, and return it.

    The soft limit is 1,024 almost everywhere, for programs that call select(); none of ours does.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST if hard == resource.RLIM_INFINITY else min(hard, MOST)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(ValueError, OSError):  # macOS has a lower limit beside it
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST if soft == resource.RLIM_INFINITY else soft
