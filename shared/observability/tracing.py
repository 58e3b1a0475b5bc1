"""Optional traces by OpenTelemetry: one trace follows a request through gateway, queue and worker.

Without FACESEARCH_TRACES_URL nothing is traced, and the extra `otel` need not be installed.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from shared.errors import OperatorError
from shared.settings import Settings


class Tracer(Protocol):
    """Makes spans. Attributes hold no personal data."""

    def span(self, name: str, **attributes: str) -> AbstractContextManager[object]:
        """Make the block a span, a child of the current one."""

    def past_span(self, name: str, at: float, seconds: float) -> None:
        """Make a span of what has ended, a child of the current one. at: time of its start, in seconds since 1970."""

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

    def past_span(self, name: str, at: float, seconds: float) -> None:
        pass

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


def open_tracer(settings: Settings, service: str) -> Tracer:
    """Return the tracer for the settings. service: the name of this process in traces.

    Raises OperatorError when traces are asked for and the extra `otel` is not installed.
    """
    if settings.traces_url is None:
        return NoTraces()
    try:
        from shared.observability import opentelemetry_traces  # noqa: PLC0415 -- an extra, 0.3 s to import
    except ImportError:
        raise OperatorError(
            "FACESEARCH_TRACES_URL is set, but OpenTelemetry is not installed; install facesearch[otel]"
        ) from None
    return opentelemetry_traces.connect(settings.traces_url, settings.traces_sample, service)
