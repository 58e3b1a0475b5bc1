"""Times the stages of a request: a histogram by stage for Prometheus, and a span of the trace."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from time import perf_counter
from types import TracebackType
from typing import Final

from prometheus_client import CollectorRegistry, Histogram

from shared.observability.tracing import Tracer

BUCKETS: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Histogram buckets in seconds: from a look-up to the deadline, in steps of about two."""


class Stages:
    """Times stages of the given names, all of which are present in the histogram from the start.

    name, text: name and help of the histogram. label: the label that holds the stage.
    """

    def __init__(
        self,
        name: str,
        text: str,
        stages: Sequence[str],
        registry: CollectorRegistry,
        tracer: Tracer,
        label: str = "stage",
    ) -> None:
        seconds = Histogram(name, text, [label], registry=registry, buckets=BUCKETS)
        self._seconds = {stage: seconds.labels(stage) for stage in stages}
        self._tracer = tracer

    def time(self, stage: str) -> AbstractContextManager[None]:
        """Time the block as that stage. Raises KeyError for an unknown stage."""
        return _Timed(self._seconds[stage], self._tracer.span(stage))

    def record(self, stage: str, at: float, seconds: float) -> None:
        """Record a stage that was timed elsewhere. at: time of its start, in seconds since 1970. Raises KeyError for an
        unknown stage.
        """
        self._seconds[stage].observe(seconds)
        self._tracer.past_span(stage, at, seconds)


class _Timed:
    """A block that is timed. A class, since a generator takes twice the CPU, and a request has ten stages."""

    __slots__ = ("_seconds", "_span", "_start")

    def __init__(self, seconds: Histogram, span: AbstractContextManager[object]) -> None:
        self._seconds = seconds
        self._span = span

    def __enter__(self) -> None:
        self._span.__enter__()
        self._start = perf_counter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._seconds.observe(perf_counter() - self._start)
        self._span.__exit__(kind, error, traceback)
