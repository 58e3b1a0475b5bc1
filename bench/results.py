"""bench/results/: the last run of each benchmark, with the machine that it ran on."""

import json
import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

FOLDER: Final = Path(__file__).parent / "results"


def machine() -> dict[str, Any]:
    """What figures depend on."""
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
    """Write the results of a benchmark over those of its last run."""
    FOLDER.mkdir(exist_ok=True)
    record = {"day": datetime.now(UTC).date().isoformat(), "machine": machine(), **found}
    (FOLDER / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n")


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []
