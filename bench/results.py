"""Results of the last long run of each benchmark, in bench/results/, with the machine that it ran on."""

import json
import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

FOLDER: Final = Path(__file__).parent / "results"
QUICK: Final = "--quick"
"""The option of every benchmark for a run of seconds, which shows that it works, and the magnitude of its figures."""


def is_quick() -> bool:
    """Return whether the command line asks for a quick run."""
    return QUICK in sys.argv[1:]


def machine() -> dict[str, Any]:
    """Return what figures depend on: CPU, its vector instructions, cores, Python and system."""
    cpu = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.processor(),
    )
    flags = next((line for line in _lines("/proc/cpuinfo") if line.startswith("flags")), "").split()
    return {
        "cpu": cpu,
        "vectors": [flag for flag in ("avx2", "avx512f", "avx512_vnni", "amx_int8") if flag in flags],
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "system": platform.system(),
    }


def keep(name: str, found: dict[str, Any]) -> None:
    """Write the results of a benchmark over those of its last long run. Quick runs are not kept."""
    if is_quick():
        return
    FOLDER.mkdir(exist_ok=True)
    record = {"day": datetime.now(UTC).date().isoformat(), "machine": machine(), **found}
    (FOLDER / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n")


def kept(name: str) -> dict[str, Any]:
    """Return the results of the last long run. Raises FileNotFoundError when there was none."""
    found: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return found


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []
