"""The memory that this process may use: in a container, less than the machine has."""

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Final

_CGROUP: Final = Path("/sys/fs/cgroup")
_OWN: Final = Path("/proc/self/cgroup")


def memory_bytes(cgroup: Path = _CGROUP, own: Path = _OWN) -> int:
    """Return in bytes the machine's memory, or the smallest limit of the process's control groups if that is smaller.

    Source of the files: the kernel's documentation of control groups, memory.max (v2) and memory.limit_in_bytes (v1).
    """
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([machine, *_limits(cgroup, own)])


def _limits(cgroup: Path, own: Path) -> Iterator[int]:
    for file in _files(cgroup, own):
        try:
            yield int(file.read_text())
        except (OSError, ValueError):  # the group is not visible in this container; or the limit is "max"
            continue


def _files(cgroup: Path, own: Path) -> Iterator[Path]:
    """Yield the files that may hold a limit: of the process's group and of all its parents. Each line of `own` is
    `number:controllers:path`; v2 has one line, without controllers.
    """
    try:
        lines = own.read_text().splitlines()
    except OSError:
        lines = []
    groups = [tuple(line.split(":", 2)[1:]) for line in lines if line.count(":") >= 2]
    for controllers, path in [*groups, ("", "/"), ("memory", "/")]:
        if controllers and "memory" not in controllers.split(","):
            continue
        root, name = (cgroup / "memory", "memory.limit_in_bytes") if controllers else (cgroup, "memory.max")
        relative = PurePosixPath(path.lstrip("/"))
        for part in (relative, *relative.parents):
            yield root / part / name
