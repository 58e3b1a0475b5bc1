"""The checks of the chart report faults: by Helm, by Kubernetes' schemas and by the chart's own schema."""

import shutil

import pytest

from deploy_tree import ALERTS, DASHBOARD, ROOT, Tree

pytestmark = pytest.mark.slow

CHART = "deploy/helm/facesearch"
VALUES = "deploy/helm/examples/values.yaml"

EVERYTHING = """
worker: { autoscaling: { by: queue } }
ingress: { enabled: true, hosts: [faces.example] }
metrics: { monitors: { enabled: true }, alerts: { enabled: true }, dashboard: { enabled: true } }
backup: { enabled: true, restore: 2026-01-31T03-17-00Z }
secrets: { values: { FACESEARCH_API_KEY: at-least-8 } }
"""
BY_CPU = """
worker: { autoscaling: { by: cpu } }
"""

FAULTS = {
    "a field that Kubernetes does not have": (
        f"{CHART}/templates/gateway/service.yaml",
        "  type: {{",
        "  typ: {{",
        "Service spec in Kubernetes 1.25: Additional properties are not allowed ('typ' was unexpected)",
    ),
    "a template that does not parse": (
        f"{CHART}/templates/gateway/service.yaml",
        "{{- end }}\n",
        "\n",
        "unexpected EOF",
    ),
    "a template that makes no YAML": (
        f"{CHART}/templates/gateway/service.yaml",
        "\nspec:\n",
        "\n spec:\n",
        "templates/gateway/service.yaml: ",
    ),
    "a template that no values use": (
        VALUES,
        "secrets: { values: { FACESEARCH_API_KEY: at-least-8 } }",
        "",
        "templates/secret.yaml: no values that are checked make anything of it",
    ),
    "a value that there is not": (VALUES, "worker: {", "worker: { replica: 2,", "replica"),
    "a setting that there is not": (
        VALUES,
        "secrets:",
        "config: { FACESEARCH_RATES: 5 }\nsecrets:",
        "FACESEARCH_RATES",
    ),
    "a setting of the wrong type": (VALUES, "secrets:", "config: { FACESEARCH_RATE: x }\nsecrets:", "FACESEARCH_RATE"),
    "values that contradict each other": (
        VALUES,
        "secrets:",
        "config: { QDRANT_URL: 'http://a:6333' }\nsecrets:",
        "two Qdrants: set qdrant.enabled to false, or leave config.QDRANT_URL out",
    ),
    "values given twice": (VALUES, "secrets:", "ingress: {}\nsecrets:", "key 'ingress' given twice"),
    "a field that KEDA does not have": (
        f"{CHART}/templates/worker/queue-autoscaler.yaml",
        "maxReplicaCount",
        "maxReplicas",
        "'maxReplicas' was unexpected",
    ),
    "a parameter that KEDA does not have": (
        f"{CHART}/templates/worker/queue-autoscaler.yaml",
        "listLength:",
        "length:",
        "ScaledObject $.spec.triggers[0]",
    ),
    "a field that the Prometheus Operator does not have": (
        f"{CHART}/templates/monitoring/monitors.yaml",
        "jobLabel",
        "joblabel",
        "'joblabel' was unexpected",
    ),
    "an unknown kind": (
        f"{CHART}/templates/monitoring/monitors.yaml",
        "kind: PodMonitor",
        "kind: PodsMonitor",
        "PodsMonitor is no kind of Kubernetes",
    ),
    "an alert that does not say what to do": (
        "deploy/prometheus/alerts.yml",
        "runbook_url",
        "runbook",
        "templates/monitoring/alerts.yaml: with values.yaml: PrometheusRule",
    ),
}


@pytest.fixture
def chart(tree: Tree) -> Tree:
    """The real chart, with values that render every template, and files for its links."""
    shutil.copytree(ROOT / CHART, tree.root / CHART, symlinks=True)
    tree.write(VALUES, EVERYTHING)
    tree.write("deploy/helm/examples/by-cpu.yaml", BY_CPU)
    tree.write("deploy/prometheus/alerts.yml", ALERTS)
    tree.write("deploy/grafana/dashboards/facesearch.json", DASHBOARD)
    return tree


def test_a_chart_without_a_fault_is_valid(chart: Tree) -> None:
    result = chart.check()
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(("file", "old", "new", "reason"), FAULTS.values(), ids=FAULTS)
def test_a_fault_is_reported(chart: Tree, file: str, old: str, new: str, reason: str) -> None:
    chart.change(file, old, new)
    result = chart.check()
    assert result.exit_code == 1
    assert reason in result.output


def test_a_link_to_a_missing_file_is_reported(chart: Tree) -> None:
    (chart.root / "deploy/prometheus/alerts.yml").unlink()
    result = chart.check()
    assert result.exit_code == 1
    assert "deploy/helm/facesearch/Chart.yaml: " in result.output
    assert "files/alerts.yml" in result.output
