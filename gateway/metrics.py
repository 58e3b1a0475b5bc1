"""A gateway's metrics for Prometheus, explained in docs/monitoring.md. No label value comes from a caller."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from shared.calls import CALLS, GET_JOB, Call, Counted, action_rejections
from shared.contract import Status
from shared.errors import ContractError, ImageUnreadable, rejection_reasons
from shared.observability.metrics import REQUEST_BUCKETS, new_registry, rejections
from shared.observability.stages import Stages
from shared.observability.tracing import Tracer

STAGES: Final = ("limits", "upload", "claim_check", "dispatch", "outcome")
"""Look-up of the key and its limits; reading and checking the parameters; storing images in the image store; sending
the job to the broker; waiting for its outcome."""


PROCESS_UP: Final = ("facesearch_gateway_process_up", "Whether this process of the gateway tells its metrics.")
"""Name and help of a metric that is 1 in each process; for a process that tells nothing another one tells 0."""


WEBHOOK_BUCKETS: Final = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 3600.0, 21_600.0, 86_400.0)
"""Histogram buckets in seconds: from a look at what is due to the day for which a webhook is tried."""


class ConnectionMetrics:
    """Metrics of the connections of one server. registry: by default one that is never read."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        registry = registry or CollectorRegistry()
        self.held = Gauge("facesearch_connections", "Connections of callers.", registry=registry)
        self.most = Gauge("facesearch_connections_max", "Most connections that callers may have.", registry=registry)
        self.refused = Counter(
            "facesearch_connections_refused", "Connections that were refused.", ["reason"], registry=registry
        )
        self.dropped = Counter(
            "facesearch_connections_dropped", "Connections that were ended early.", ["reason"], registry=registry
        )
        self.paused = Counter(
            "facesearch_accepting_paused", "Times that no connection could be taken.", registry=registry
        )
        for reason in ("full", "address"):
            self.refused.labels(reason)
        self.dropped_idle, self.dropped_slow = (self.dropped.labels(reason) for reason in ("idle", "slow_reader"))


class CallLogMetrics:
    """Metrics of the call log. registry: by default one that is never read."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        registry = registry or CollectorRegistry()
        self.entries = Counter("facesearch_call_log_entries", "Calls in the call log.", registry=registry)
        self.waiting = Gauge(
            "facesearch_call_log_waiting", "Entries of the call log that could not be written yet.", registry=registry
        )


class WebhookMetrics:
    """Metrics of the deliveries of webhooks. registry: by default one that is never read."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        registry = registry or CollectorRegistry()
        attempts = Counter(
            "facesearch_webhooks", "Attempts to deliver a webhook by their result.", ["result"], registry=registry
        )
        self.delivered, self.failed, self.dead = (attempts.labels(word) for word in ("delivered", "failed", "dead"))
        self.seconds = Histogram(
            "facesearch_webhook_seconds",
            "Time from an outcome to its delivery.",
            registry=registry,
            buckets=WEBHOOK_BUCKETS,
        )


class AsynchronousMetrics:
    """Metrics of the asynchronous jobs that a gateway accepts and looks after; a worker counts those that it does."""

    def __init__(self, calls: Iterable[Call], registry: CollectorRegistry) -> None:
        self._accepted = Counter(
            "facesearch_asynchronous_accepted", "Asynchronous jobs that were accepted.", ["call"], registry=registry
        )
        self.expired = Counter(
            "facesearch_asynchronous_expired",
            "Asynchronous jobs that ended in FAIL since no worker had done them in time.",
            registry=registry,
        )
        for call in calls:
            self._accepted.labels(call.name)

    def accepted(self, call: Call) -> None:
        """Count a job of that call."""
        self._accepted.labels(call.name).inc()


class Metrics:
    """Metrics of one gateway. All label values exist from the start, so that no rate over them is missing."""

    def __init__(self, tracer: Tracer, calls: Sequence[Call] = CALLS) -> None:
        self.registry = new_registry()
        self.tracer = tracer
        self.stages = Stages(
            "facesearch_gateway_stage_seconds", "Time in the stages of a request.", STAGES, self.registry, tracer
        )
        Gauge(*PROCESS_UP, registry=self.registry).set(1)
        self.lost = Counter(
            "facesearch_jobs_lost", "Jobs that no worker had and that were dispatched again.", registry=self.registry
        )
        self._requests = Counter(
            "facesearch_requests", "Answered requests.", ["call", "status"], registry=self.registry
        )
        self._seconds = Histogram(
            "facesearch_request_seconds",
            "Time from a request's headers to its answer.",
            ["call"],
            registry=self.registry,
            buckets=REQUEST_BUCKETS,
        )
        self.connections = ConnectionMetrics(self.registry)
        self.call_log = CallLogMetrics(self.registry)
        self.webhooks = WebhookMetrics(self.registry)
        self.asynchronous = AsynchronousMetrics((call for call in calls if call.may_be_asynchronous), self.registry)
        self._in_flight = Gauge("facesearch_requests_in_flight", "Requests being handled.", registry=self.registry)
        self._body_memory = Gauge(
            "facesearch_body_memory_bytes", "Bodies and images that requests hold.", registry=self.registry
        )
        self._body_memory_max = Gauge(
            "facesearch_body_memory_max_bytes",
            "Bodies and images that requests may hold together.",
            registry=self.registry,
        )
        self._rejected = rejections(self.registry, _reasons(calls))
        counted: tuple[Counted, ...] = (*calls, GET_JOB)
        for each in counted:
            self._seconds.labels(each.name)
            for status in each.statuses:
                self._requests.labels(each.name, status)

    def watch_body_memory(self, held: Callable[[], int], total: int) -> None:
        """Report the bytes of bodies that requests hold, as `held` returns them at each scrape, and their limit."""
        self._body_memory.set_function(held)
        self._body_memory_max.set(total)

    def in_flight(self) -> AbstractContextManager[None]:
        """Count a request as being handled during the block."""
        return self._in_flight.track_inprogress()

    def answered(self, call: Counted, status: Status | None, rejected: str | None, seconds: float) -> None:
        """Count an answered request. status None: the answer was no contract answer. rejected: the word of the error by
        which an input was rejected, None if it was not.
        """
        self._seconds.labels(call.name).observe(seconds)
        if status is not None:
            self._requests.labels(call.name, status).inc()
        if rejected is not None:
            self._rejected.labels(rejected).inc()


def _reasons(calls: Sequence[Call]) -> Iterator[str]:
    """Yield the words of what a gateway turns down: of all errors but those that only the actions of a worker raise."""
    yield from set(rejection_reasons(ContractError)) - set(action_rejections(calls))
    yield from rejection_reasons(ImageUnreadable)  # a gateway reads the header of an image, too
