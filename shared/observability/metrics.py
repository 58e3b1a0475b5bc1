"""Metrics that gateway and worker share."""

from collections.abc import Iterable
from importlib.metadata import version
from typing import Final

from prometheus_client import (
    GC_COLLECTOR,
    PLATFORM_COLLECTOR,
    CollectorRegistry,
    Counter,
    Gauge,
    ProcessCollector,
)

REQUEST_BUCKETS: Final = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 5.0, 10.0)
"""Histogram buckets in seconds: finest between 20 and 200 ms, where most requests end; up to the deadline."""


def new_registry() -> CollectorRegistry:
    """Return a registry with the metrics of every process: version, memory, CPU, open files, garbage collection.

    Each application has one, so that several can run in one process.
    """
    registry = CollectorRegistry()
    registry.register(GC_COLLECTOR)
    registry.register(PLATFORM_COLLECTOR)
    ProcessCollector(registry=registry)
    built = Gauge("facesearch_build_info", "Always 1; the version is in the label.", ["version"], registry=registry)
    built.labels(version("facesearch")).set(1)
    return registry


def rejections(registry: CollectorRegistry, reasons: Iterable[str]) -> Counter:
    """Return the counter of rejected inputs, in which every reason is present from the start."""
    counter = Counter("facesearch_rejected", "Inputs that were turned down.", ["reason"], registry=registry)
    for reason in reasons:
        counter.labels(reason)
    return counter
