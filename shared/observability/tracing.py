"""Optional traces by OpenTelemetry: one trace follows a request through gateway, queue and worker.

Without FACESEARCH_TRACES_URL nothing is traced, and the extra `otel` need not be installed.
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Final, Protocol

from shared.errors import OperatorError
from shared.settings import Settings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

TRACES_PATH: Final = "/v1/traces"
"""Path below a collector's base URL for traces by OTLP over HTTP."""


class Tracer(Protocol):
    """Makes spans. Attributes hold no personal data."""

    def span(self, name: str, **attributes: str) -> AbstractContextManager[object]:
        """Make the block a span, a child of the current one."""

    def carried(self) -> dict[str, str]:
        """Return the current span as message headers (W3C Trace Context); empty without one."""

    def resumed(self, headers: Mapping[str, str], name: str, **attributes: str) -> AbstractContextManager[object]:
        """Make the block a span, a child of the one in the message headers."""

    def close(self) -> None:
        """Send the remaining spans, within a bounded time."""


class NoTraces:
    """A Tracer that does nothing."""

    def span(self, name: str, **attributes: str) -> AbstractContextManager[object]:  # noqa: ARG002 -- the interface's
        return nullcontext()

    def carried(self) -> dict[str, str]:
        return {}

    def resumed(
        self,
        headers: Mapping[str, str],  # noqa: ARG002 -- the interface's
        name: str,  # noqa: ARG002
        **attributes: str,  # noqa: ARG002
    ) -> AbstractContextManager[object]:
        return nullcontext()

    def close(self) -> None:
        pass


class OpenTelemetryTraces:
    """A Tracer with a provider of its own: nothing is registered globally, so several can live in one process."""

    def __init__(self, provider: "TracerProvider") -> None:
        from opentelemetry.trace.propagation.tracecontext import (  # noqa: PLC0415 -- an extra
            TraceContextTextMapPropagator,
        )

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


def open_tracer(settings: Settings, service: str) -> Tracer:
    """Return the tracer for the settings. service: the name of this process in traces.

    Raises OperatorError when traces are asked for and the extra `otel` is not installed.
    """
    if settings.traces_url is None:
        return NoTraces()
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415 -- an extra, 0.3 s to import
            OTLPSpanExporter,
        )
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
        from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio  # noqa: PLC0415
    except ImportError:
        raise OperatorError(
            "FACESEARCH_TRACES_URL is set, but OpenTelemetry is not installed; install facesearch[otel]"
        ) from None
    provider = TracerProvider(
        resource=Resource.create({"service.name": service}),
        sampler=ParentBasedTraceIdRatio(settings.traces_sample),
        shutdown_on_exit=False,
    )
    exporter = OTLPSpanExporter(endpoint=settings.traces_url.rstrip("/") + TRACES_PATH)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return OpenTelemetryTraces(provider)
