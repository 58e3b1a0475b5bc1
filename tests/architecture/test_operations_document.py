"""docs/operations.md names what there is: every metric and every alert, and none that is none."""

import re
from pathlib import Path

import yaml

from gateway.metrics import Metrics as GatewayMetrics
from gateway.monitoring.broker import BrokerMetrics
from shared.observability.tracing import NoTraces
from worker.metrics import Metrics as WorkerMetrics

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs/operations.md").read_text()


def test_every_metric_is_in_the_table() -> None:
    gateway, worker = GatewayMetrics(NoTraces()), WorkerMetrics(NoTraces())
    BrokerMetrics(gateway.registry)
    served = {
        metric.name + ("_total" if metric.type == "counter" else "")
        for registry in (gateway.registry, worker.registry)
        for metric in registry.collect()
        if metric.name.startswith("facesearch_")
    }
    assert set(re.findall(r"^\| `(facesearch_\w+)` \|", DOCUMENT, re.MULTILINE)) == served


def test_every_alert_has_a_section_that_its_runbook_leads_to() -> None:
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
