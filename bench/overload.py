"""Measure the service at four times its peak: how much is served, how fast, and how soon the rest is refused.

    PYTHONPATH=tests .venv/bin/python bench/overload.py [--quick]

The peak is the throughput of a closed loop of 16 callers. Then searches arrive in an open loop at four times that rate;
goodput is the throughput in time, over the peak just before. Three rounds. Small photos and photos of 12 megapixels,
of which a full gateway holds more than can be done within the deadline; deadlines of 4 and 10 seconds. Keys have no
limits: only the gateway refuses. Prints JSON, then a table.
"""

import json
import tempfile
from collections.abc import Mapping, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any, Final

import photos
import results
from servers import Running, running
from summaries import medians

FACTOR: Final = 4
CALLERS: Final = 16
DEADLINES_S: Final = (4, 10)


def measure(
    service: Running, kind: str, files: Sequence[Path], deadline_s: float, rounds: int, peak_s: float, flood_s: float
) -> dict[str, Any]:
    """Return medians of the rounds, and the largest values for the longest answer and for requests that were not
    served.
    """
    taken = []
    for _ in range(rounds):
        peak = service.closed("searchface", CALLERS, peak_s, files)["per_second"]
        load = service.arriving("searchface", round(FACTOR * peak, 1), flood_s, files)
        taken.append({"peak_per_second": peak, "goodput": round(load["per_second"] / peak, 3), **load})
    longest = max(load["longest_ms"] for load in taken)
    in_vain = max((load["in_vain"] for load in taken), key=itemgetter("count"))
    worst = {"longest_ms": longest, "in_vain": in_vain}
    return {"photos": kind, "deadline_s": deadline_s, **medians(taken), **worst}


def show(loads: Sequence[Mapping[str, Any]]) -> None:
    for load in loads:
        refused = load["refused"]
        print(
            f"{load['photos']:6} deadline {load['deadline_s']:>2} s  peak {load['peak_per_second']:.1f}/s, "
            f"{load['rate']:.0f}/s offered: goodput {load['goodput']:.2f} of the peak  "
            f"accepted p50 {load['p50_ms']:.0f}  p99 {load['p99_ms']:.0f}  longest {load['longest_ms']:.0f} ms  "
            f"refused {refused['count']} of {load['requests']}, p50 {refused['p50_ms']:.1f}  "
            f"p99 {refused['p99_ms']:.1f} ms  too late {load['in_vain']['count']}"
        )


def main() -> None:
    quick = results.is_quick()
    kinds = photos.photos()
    deadlines, names = (DEADLINES_S[:1], ("small",)) if quick else (DEADLINES_S, ("small", "12mp"))
    loads = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = {kind: photos.written(kinds[kind], folder / kind) for kind in names}
        for deadline in deadlines:
            # Refusals are counted here; the gateway need not log them.
            quiet = {"FACESEARCH_LOG_LEVEL": "error"}
            with running(folder / f"{deadline}", FACESEARCH_DEADLINE_S=deadline, **quiet) as service:
                service.add(files["small"])
                for kind, paths in files.items():
                    rounds = (1, 1.5, 4.0) if quick else (3, 2.0, 5.0)
                    loads.append(measure(service, kind, paths, deadline, *rounds))
    found = {"photos": photos.source(), "factor": FACTOR, "callers": CALLERS, "loads": loads}
    print(json.dumps(found))
    results.keep("overload", found)
    show(loads)


if __name__ == "__main__":
    main()
