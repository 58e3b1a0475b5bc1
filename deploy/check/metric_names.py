"""Which metrics there are to ask for: ours by the registries that serve them, others by their makers."""

from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Final

import yaml

import gateway.metrics
import worker.metrics
from check import documents, schemas
from gateway.monitoring.broker import BrokerMetrics
from shared.observability.tracing import NoTraces

QDRANT: Final = frozenset(
    {
        "app_info",
        "app_status_recovery_mode",
        "cluster_enabled",
        "cluster_peers_total",
        "cluster_pending_operations_total",
        "collections_total",
        "collections_vector_total",
        "grpc_responses_duration_seconds_bucket",
        "grpc_responses_fail_total",
        "grpc_responses_total",
        "memory_active_bytes",
        "memory_allocated_bytes",
        "memory_resident_bytes",
        "rest_responses_duration_seconds_bucket",
        "rest_responses_fail_total",
        "rest_responses_total",
    }
)
"""Those of /metrics of a Qdrant server that may be asked for: qdrant.tech/documentation/guides/monitoring."""

PROMETHEUS: Final = frozenset({"ALERTS", "up", "scrape_duration_seconds", "scrape_samples_scraped"})
"""What Prometheus itself notes of alerts and of every target."""

_SUFFIXES: Final = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "info": ("_info",)}
"""What a kind of metric appends to its name."""


def known(root: Path) -> frozenset[str]:
    """Every name that a target of ours answers with, or that a rule of the tree records."""
    return _served() | frozenset(_recorded(root))


@cache
def _served() -> frozenset[str]:
    of_a_gateway = gateway.metrics.Metrics(NoTraces()).registry
    BrokerMetrics(of_a_gateway)
    ours = (
        metric.name + suffix
        for registry in (of_a_gateway, worker.metrics.Metrics(NoTraces()).registry)
        for metric in registry.collect()
        for suffix in _SUFFIXES.get(metric.type, ("",))
    )
    return frozenset(ours) | QDRANT | PROMETHEUS


def _recorded(root: Path) -> Iterator[str]:
    """By rules that can be read. What is wrong with others is said where they are checked."""
    for path in (root / "deploy" / "prometheus").glob("*.y*ml"):
        with suppress(yaml.YAMLError):
            document = documents.load_file(path)
            if not schemas.complaint("rules", document):
                yield from (
                    rule["record"] for group in document["groups"] for rule in group["rules"] if "record" in rule
                )
