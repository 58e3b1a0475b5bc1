"""Times the stages of a request: a histogram by stage for Prometheus, and a span of the trace."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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

    @contextmanager
    def time(self, stage: str) -> Iterator[None]:
        """Time the block as that stage. Raises KeyError for an unknown stage."""
        with self._tracer.span(stage), self._seconds[stage].time():
            yield

    def record(self, stage: str, at: float, seconds: float) -> None:
        """Record a stage that was timed elsewhere. at: time of its start, in seconds since 1970. Raises KeyError for an
        unknown stage.
        """
        self._seconds[stage].observe(seconds)
        self._tracer.past_span(stage, at, seconds)
