"""Statistics that benchmarks share. Pure."""

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np


def latencies(seconds: Sequence[float]) -> dict[str, float]:
    """Return p50, p95 and p99 in milliseconds, each 0 if there are no values."""
    percents = (50, 95, 99)
    values = np.percentile(seconds, percents) if seconds else np.zeros(len(percents))
    return {f"p{percent}_ms": round(float(value) * 1e3, 2) for percent, value in zip(percents, values, strict=True)}


def medians(rounds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the rounds merged into one: the median of each number, at any depth; the first round's value of all else.

    Counts below `answers` are added up; a round may lack some of them.
    """
    merged: dict[str, Any] = {}
    for name, value in rounds[0].items():
        values = [found[name] for found in rounds]
        if name == "answers":
            merged[name] = added(values)
        elif isinstance(value, Mapping):
            merged[name] = medians(values)
        elif isinstance(value, int | float) and any(one != value for one in values):
            merged[name] = round(statistics.median(values), 3)
        else:
            merged[name] = value
    return merged


def added(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Return the sum by name, names in the order in which they first occur."""
    total: Counter[str] = Counter()
    for count in counts:
        total.update(count)
    return dict(total)


def last_line(pipeline: Mapping[str, Any], loads: Iterable[Mapping[str, Any]]) -> str:
    """Return the last line of `make bench`, which scripts may watch: figures of searches with small photos.

    pipeline: the result of bench/pipeline.py; loads: the rows of bench/service.py. Raises KeyError when one is missing.
    """
    searches = small_searches(loads)
    return (
        f"efficiency={searches[8]['efficiency']:.2f} "
        f"floor_gain={pipeline['against_naive']['small']['naive_ratio']:.1f} "
        f"p50_overhead_ms={searches[1]['p50_overhead_ms']:.1f} "
        f"search_rps_c8={searches[8]['per_second']:.0f}"
    )


def small_searches(loads: Iterable[Mapping[str, Any]]) -> dict[int, Mapping[str, Any]]:
    """Return the rows of bench/service.py that are searches with small photos, by callers."""
    return {load["callers"]: load for load in loads if (load["call"], load["photos"]) == ("searchface", "small")}
