"""Every alert has a section that says what to do about it, and can fire."""

import re
import shutil
import subprocess

import pytest
import yaml

from documents import ROOT, headings

FOLDER = ROOT / "deploy" / "prometheus"
ALERTS = [
    rule
    for group in yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"]
    for rule in group["rules"]
    if "alert" in rule
]
NAMES = {alert["alert"] for alert in ALERTS}
RUN_BOOK = sorted((ROOT / "docs").glob("run-book*.md"))
SECTIONS = [(page, name) for page in RUN_BOOK for name in headings(page) if name.startswith("Facesearch")]


def test_every_alert_has_a_section_for_operators_and_every_section_an_alert() -> None:
    assert sorted(name for _, name in SECTIONS) == sorted(NAMES)


def test_every_runbook_url_leads_to_the_section_of_its_alert() -> None:
    places = {name: f"docs/{page.name}#{name.lower()}" for page, name in SECTIONS}
    for alert in ALERTS:
        assert alert["annotations"]["runbook_url"] == places[alert["alert"]]


def test_the_run_book_begins_with_a_table_of_every_alert_and_how_severe_it_is() -> None:
    rows = re.findall(r"^\| \[(\w+)\]\(.*?\) \| ([\w, ]+) \|", (ROOT / "docs/run-book.md").read_text(), re.MULTILINE)
    severities = {name: {alert["labels"]["severity"] for alert in ALERTS if alert["alert"] == name} for name in NAMES}
    assert {name: {*said.split(", ")} for name, said in rows} == severities


def test_every_alert_is_critical_or_a_warning() -> None:
    assert {alert["labels"]["severity"] for alert in ALERTS} == {"critical", "warning"}


def test_every_alert_has_a_rule_test_in_which_it_fires() -> None:
    text = (FOLDER / "alerts_test.yml").read_text()
    assert set(re.findall(r'alertname="(Facesearch\w+)"', text)) | {"FacesearchNoWorker"} == NAMES
    assert "alertname: FacesearchNoWorker" in text


@pytest.mark.slow
@pytest.mark.skipif(
    shutil.which("promtool") is None, reason="there is no promtool; on Debian: apt-get install prometheus"
)
def test_alerts_fire_only_when_they_should() -> None:
    result = subprocess.run(
        ["promtool", "test", "rules", FOLDER / "alerts_test.yml"], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_queries_know_that_a_gateway_may_be_several_processes() -> None:
    """Each process has a series of facesearch_build_info: a query that joins one of an instance would fail."""
    dashboards = [path.read_text() for path in (ROOT / "deploy" / "grafana" / "dashboards").glob("*.json")]
    queries = [*dashboards, (FOLDER / "alerts.yml").read_text()]
    joined_labels = [
        labels for query in queries for labels in re.findall(r"on \(([^)]*)\) group_left \(\) facese", query)
    ]
    assert joined_labels
    assert all("process" in labels for labels in joined_labels)
