"""docs/monitoring.md names every metric, and no other."""

import re
from pathlib import Path

from gateway.metrics import Metrics as GatewayMetrics
from gateway.monitoring.broker import BrokerMetrics
from shared.observability.tracing import NoTraces
from worker.metrics import Metrics as WorkerMetrics

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs/monitoring.md").read_text()


def test_the_table_lists_exactly_the_metrics_that_are_served() -> None:
    gateway, worker = GatewayMetrics(NoTraces()), WorkerMetrics(NoTraces())
    BrokerMetrics(gateway.registry)
    served = {
        metric.name + ("_total" if metric.type == "counter" else "")
        for registry in (gateway.registry, worker.registry)
        for metric in registry.collect()
        if metric.name.startswith("facesearch_")
    }
    assert set(re.findall(r"^\| `(facesearch_\w+)` \|", DOCUMENT, re.MULTILINE)) == served
