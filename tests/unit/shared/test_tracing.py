"""Traces: nested spans, carried in a message from one process to the next, and none by default."""

import sys

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from shared import observability
from shared.errors import OperatorError
from shared.observability.opentelemetry_traces import OpenTelemetryTraces
from shared.observability.tracing import NoTraces, open_tracer
from shared.settings import Settings


@pytest.fixture
def spans() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def tracer(spans: InMemorySpanExporter) -> OpenTelemetryTraces:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(spans))
    return OpenTelemetryTraces(provider)


def test_a_trace_continues_in_the_process_that_reads_its_headers(
    tracer: OpenTelemetryTraces, spans: InMemorySpanExporter
) -> None:
    with tracer.span("dispatch"):
        headers = tracer.carried()
    with tracer.resumed(headers, "add", job_id="a.b"), tracer.span("decode"):
        pass
    dispatch, decode, add = spans.get_finished_spans()
    assert (dispatch.name, decode.name, add.name) == ("dispatch", "decode", "add")
    assert dispatch.context.trace_id == add.context.trace_id == decode.context.trace_id
    assert add.parent.span_id == dispatch.context.span_id
    assert decode.parent.span_id == add.context.span_id
    assert add.attributes == {"job_id": "a.b"}


def test_a_trace_starts_where_there_are_no_headers(tracer: OpenTelemetryTraces, spans: InMemorySpanExporter) -> None:
    assert tracer.carried() == {}
    with tracer.resumed({}, "addface"):
        pass
    (span,) = spans.get_finished_spans()
    assert span.parent is None


def test_the_text_of_an_error_is_in_no_trace(tracer: OpenTelemetryTraces, spans: InMemorySpanExporter) -> None:
    with pytest.raises(ValueError, match="Ada"), tracer.span("decode"):
        raise ValueError("Ada Lovelace")
    (span,) = spans.get_finished_spans()
    assert "Ada" not in span.to_json()


def test_nothing_is_traced_by_default() -> None:
    tracer = open_tracer(Settings(), "facesearch-test")
    assert isinstance(tracer, NoTraces)
    with tracer.span("a"), tracer.resumed({}, "b"):
        assert tracer.carried() == {}
    tracer.close()


def test_a_missing_extra_is_reported_with_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "shared.observability.opentelemetry_traces")
    monkeypatch.delattr(observability, "opentelemetry_traces")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(OperatorError, match=r"install facesearch\[otel\]"):
        open_tracer(Settings(traces_url="http://127.0.0.1:1"), "facesearch-test")
