"""docs/operations.md names every metric and every alert, and no other."""

import re
from pathlib import Path

import yaml

from gateway.metrics import Metrics as GatewayMetrics
from gateway.monitoring.broker import BrokerMetrics
from shared.observability.tracing import NoTraces
from worker.metrics import Metrics as WorkerMetrics

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs/operations.md").read_text()


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


def test_the_runbook_url_of_every_alert_leads_to_a_section() -> None:
    groups = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text())["groups"]
    alerts = [rule for group in groups for rule in group["rules"] if "alert" in rule]
    assert alerts
    anchors = {re.sub(r"[^\w -]", "", title).strip().lower().replace(" ", "-") for title in _titles()}
    for alert in alerts:
        page, _, anchor = alert["annotations"]["runbook_url"].partition("#")
        assert page.endswith("docs/operations.md"), alert["alert"]
        assert anchor in anchors, f"{alert['alert']}: no section #{anchor}"


def _titles() -> list[str]:
    return re.findall(r"^#+ (.*)$", DOCUMENT, re.MULTILINE)
