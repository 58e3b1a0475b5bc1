"""The alerts that the operators' console shows: they are those of Prometheus, with the same words and bounds."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from math import nan, nextafter
from pathlib import Path

import pytest
import yaml

from gateway.admin.alerts import Shared, firing
from gateway.monitoring.broker import Aside
from gateway.monitoring.health import parts_of_service
from shared.broker_memory import BrokerMemory
from shared.heartbeat import Heartbeat

ROOT = Path(__file__).parents[3]

WORKER = Heartbeat(store="ok", embedder="e")
WELL = Shared((WORKER,), 0, Aside(), BrokerMemory(1, 0), BrokerMemory(1, 0))


NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)

CATALOGUES = [
    json.loads((ROOT / f"gateway/pages/console/{language}.json").read_text("utf-8")) for language in ("en", "zh")
]


def memory(percent: float) -> BrokerMemory:
    return BrokerMemory(int(percent * 100), 10_000)


WRONG = {
    ("FacesearchNoWorker", "critical"): replace(WELL, workers=()),
    ("FacesearchModelsDiffer", "critical"): replace(WELL, workers=(WORKER, Heartbeat(store="ok", embedder="f"))),
    ("FacesearchStoreCannotWrite", "critical"): replace(
        WELL, workers=(WORKER, Heartbeat(store="ok", embedder="e", disk="no room"))
    ),
    ("FacesearchFacedbsRefused", "critical"): replace(
        WELL, workers=(Heartbeat(store="ok", embedder="e", refused_count=1),)
    ),
    ("FacesearchBrokerDown", "critical"): replace(WELL, broker=None),
    ("FacesearchJobsWait", "critical"): replace(WELL, oldest_job_s=nextafter(5, 6)),
    ("FacesearchAsynchronousJobsWait", "warning"): replace(WELL, aside=Aside(oldest_job_s=nextafter(600, 601))),
    ("FacesearchWebhooksWait", "warning"): replace(WELL, aside=Aside(oldest_webhook_s=nextafter(3600, 3601))),
    ("FacesearchWebhooksPileUp", "warning"): replace(WELL, aside=Aside(webhooks=1601)),
    ("FacesearchBrokerMemory", "warning"): replace(WELL, broker=memory(80.01)),
    ("FacesearchBrokerMemory", "critical"): replace(WELL, broker=memory(95.01)),
    ("FacesearchImageStoreDown", "critical"): replace(WELL, images=None),
    ("FacesearchImageStoreMemory", "warning"): replace(WELL, images=memory(80.01)),
}
"""What is wrong where one alert holds and no other."""


@pytest.fixture(scope="module")
def rules() -> list[dict]:
    groups = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"] if "alert" in rule]


@pytest.mark.parametrize(("name", "severity"), WRONG)
def test_an_alert_is_one_of_prometheus_in_the_same_words(name: str, severity: str, rules: list[dict]) -> None:
    (alert,) = firing(WRONG[name, severity], NOW)
    assert (alert["name"], alert["severity"]) == (name, severity)
    (rule,) = (rule for rule in rules if (rule["alert"], rule["labels"]["severity"]) == (name, severity))
    assert alert["summary"] == rule["annotations"]["summary"].replace("{{ $labels.task }}", "embedding")


@pytest.mark.parametrize(
    ("name", "severity", "well"),
    [
        ("FacesearchJobsWait", "critical", replace(WELL, oldest_job_s=5)),
        ("FacesearchAsynchronousJobsWait", "warning", replace(WELL, aside=Aside(oldest_job_s=600))),
        ("FacesearchWebhooksWait", "warning", replace(WELL, aside=Aside(oldest_webhook_s=3600))),
        ("FacesearchWebhooksPileUp", "warning", replace(WELL, aside=Aside(webhooks=1600))),
        ("FacesearchBrokerMemory", "warning", replace(WELL, broker=memory(80))),
        ("FacesearchBrokerMemory", "critical", replace(WELL, broker=memory(95))),
        ("FacesearchImageStoreMemory", "warning", replace(WELL, images=memory(80))),
    ],
)
def test_it_holds_above_the_bound_of_the_rule(name: str, severity: str, well: Shared, rules: list[dict]) -> None:
    assert (name, severity) not in {(alert["name"], alert["severity"]) for alert in firing(well, NOW)}
    (rule,) = (rule for rule in rules if (rule["alert"], rule["labels"]["severity"]) == (name, severity))
    (bound,) = re.findall(r"> ([\d.]+)$", rule["expr"].strip())
    at_bound = {
        "FacesearchJobsWait": well.oldest_job_s,
        "FacesearchAsynchronousJobsWait": well.aside.oldest_job_s,
        "FacesearchWebhooksWait": well.aside.oldest_webhook_s,
        "FacesearchWebhooksPileUp": well.aside.webhooks,
        "FacesearchImageStoreMemory": well.images.fraction,
        "FacesearchBrokerMemory": well.broker.fraction,
    }
    assert float(bound) == at_bound[name]


def test_nothing_is_told_of_a_service_that_works_or_of_what_cannot_be_told() -> None:
    assert firing(WELL, NOW) == []
    assert firing(replace(WELL, oldest_job_s=nan), NOW) == []


def test_a_broker_that_is_away_is_the_one_alert() -> None:
    found = firing(replace(WELL, broker=None, images=None, workers=()), NOW)
    assert [alert["name"] for alert in found] == ["FacesearchBrokerDown"]


def test_critical_ones_come_first() -> None:
    found = firing(replace(WELL, aside=Aside(oldest_webhook_s=4000), images=None), NOW)
    assert [alert["severity"] for alert in found] == ["critical", "warning"]


def test_of_what_waits_it_is_told_since_when_it_has_waited_too_long() -> None:
    late = replace(WELL, oldest_job_s=65, aside=Aside(oldest_job_s=660, oldest_webhook_s=3660))
    assert [alert["since"] for alert in firing(late, NOW)] == [NOW - timedelta(seconds=60)] * 3
    assert [alert["since"] for alert in firing(replace(WELL, workers=(), images=None), NOW)] == [None, None]


def test_every_alert_and_part_has_a_text_in_both_languages_of_the_console() -> None:
    english, chinese = CATALOGUES
    for (name, severity), wrong in WRONG.items():
        (alert,) = firing(wrong, NOW)
        assert english[f"alert-{name}-{severity}"] == alert["summary"]
        assert chinese[f"alert-{name}-{severity}"]
    for part in parts_of_service(None):
        assert english[f"part-{part}"]
        assert chinese[f"part-{part}"]
