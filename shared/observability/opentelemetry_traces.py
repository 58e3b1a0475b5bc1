"""Traces by OpenTelemetry. It is an extra and takes 0.3 s to import, so shared/observability/tracing.py imports this
module only where traces are on.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

TRACES_PATH: Final = "/v1/traces"
"""Path below a collector's base URL for traces by OTLP over HTTP."""


class OpenTelemetryTraces:
    """A Tracer with a provider of its own: nothing is registered globally, so several can live in one process."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("facesearch")
        self._propagator = TraceContextTextMapPropagator()

    @contextmanager
    def span(self, name: str, **attributes: str) -> Iterator[None]:
        # An exception's text may quote what a caller sent; its handler records the type.
        with self._tracer.start_as_current_span(
            name, attributes=attributes, record_exception=False, set_status_on_exception=False
        ):
            yield

    def past_span(self, name: str, at: float, seconds: float) -> None:
        span = self._tracer.start_span(name, start_time=round(at * 1e9))
        span.end(round((at + seconds) * 1e9))

    def carried(self) -> dict[str, str]:
        headers: dict[str, str] = {}
        self._propagator.inject(headers)
        return headers

    @contextmanager
    def resumed(self, headers: Mapping[str, str], name: str, **attributes: str) -> Iterator[None]:
        with self._tracer.start_as_current_span(
            name,
            context=self._propagator.extract(headers),
            attributes=attributes,
            record_exception=False,
            set_status_on_exception=False,
        ):
            yield

    def close(self) -> None:
        self._provider.shutdown()


def connect(url: str, sample: float, service: str) -> OpenTelemetryTraces:
    """Return a tracer that sends to the collector with the base URL. sample: part of the traces, 0 to 1. service: the
    name of this process in traces.
    """
    provider = TracerProvider(
        resource=Resource.create({"service.name": service}),
        sampler=ParentBasedTraceIdRatio(sample),
        shutdown_on_exit=False,
    )
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=url.rstrip("/") + TRACES_PATH)))
    return OpenTelemetryTraces(provider)
