"""Every check can fail: a tree with one fault is refused with the name of the file and the reason."""

import pytest

from deploy_tree import ALERTS, DASHBOARD, ROOT, Tree

pytestmark = pytest.mark.slow


def test_the_files_of_the_project_are_valid() -> None:
    result = Tree(ROOT).check()
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[-1].startswith("deploy: ")
    assert result.output.endswith(" files valid\n")


def test_an_empty_tree_is_an_error(tree: Tree) -> None:
    assert tree.check().exit_code == 1


FAULTS = {
    "an unpinned base image": ("deploy/Dockerfile", "FROM debian:latest\n", "DL3007"),
    "no Dockerfile at all": ("deploy/Dockerfile", "FORM debian:12\n", "unexpected"),
    "a Dockerfile of the tests": ("tests/containers/base.Dockerfile", "FROM debian:latest\n", "DL3007"),
    "a compose file with an unknown field": ("docker-compose.yml", "services: {a: {imag: b}}\n", "imag"),
    "a rule that does not parse": (
        "deploy/prometheus/alerts.yml",
        ALERTS.replace("max(facesearch_workers_alive) == 0", "max(facesearch_workers_alive"),
        "unclosed left parenthesis",
    ),
    "a rule about a metric that nothing has": (
        "deploy/prometheus/alerts.yml",
        ALERTS.replace("workers_alive", "workers_dead"),
        "facesearch_workers_dead",
    ),
    "an alert that does not say what to do": (
        "deploy/prometheus/alerts.yml",
        ALERTS.replace("runbook_url", "runbook"),
        "runbook",
    ),
    "a configuration with an unknown field": (
        "deploy/prometheus/prometheus.yml",
        "scrape_configs: [{job_name: a, static_config: [{targets: ['a:1']}]}]\n",
        "static_config",
    ),
    "tests of rules that are not there": (
        "deploy/prometheus/alerts_test.yml",
        "rule_files: [nothing.yml]\ntests: []\n",
        "there is no nothing.yml",
    ),
    "a dashboard that is no JSON": ("deploy/grafana/dashboards/a.json", "{", "Expecting"),
    "a panel without a source": (
        "deploy/grafana/dashboards/a.json",
        DASHBOARD.replace('"datasource": "prometheus",', ""),
        "Rate: no datasource",
    ),
    "a panel that asks for nothing": (
        "deploy/grafana/dashboards/a.json",
        DASHBOARD.replace('"targets"', '"target"'),
        "Rate: asks for nothing",
    ),
    "a panel about a metric that nothing has": (
        "deploy/grafana/dashboards/a.json",
        DASHBOARD.replace("requests_total", "request_total"),
        "facesearch_request_total",
    ),
    "a panel whose query does not parse": (
        "deploy/grafana/dashboards/a.json",
        DASHBOARD.replace("sum(", "sum(("),
        "unclosed left parenthesis",
    ),
    "a key given twice": ("deploy/grafana/provisioning/a.yml", "a: 1\na: 2\n", "given twice"),
    "a script that does not parse": ("deploy/start.sh", "#!/bin/sh\nif true; then\n", "end of file"),
    "an invalid schema": (
        "deploy/a.schema.json",
        '{"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "text"}',
        "no JSON Schema",
    ),
    "a kind of file without a check": ("deploy/start.lua", "", "no check knows"),
}


@pytest.mark.parametrize(("file", "text", "reason"), FAULTS.values(), ids=FAULTS)
def test_a_fault_is_reported(tree: Tree, file: str, text: str, reason: str) -> None:
    tree.write(file, text)
    result = tree.check()
    assert result.exit_code == 1
    assert f"{file}: " in result.output
    assert reason in result.output
    assert "files valid" not in result.output


def test_compose_files_must_be_valid_together(tree: Tree) -> None:
    tree.write("docker-compose.yml", "services: {a: {image: b}}\n")
    tree.write("deploy/compose.one.yml", "services: {a: {depends_on: [b]}, b: {image: c}}\n")
    tree.write("deploy/compose.two.yml", "services: {a: {depends_on: [c]}}\n")
    result = tree.check()
    assert result.exit_code == 1
    assert "deploy/compose.two.yml: " in result.output
    assert "deploy/compose.one.yml: " not in result.output
