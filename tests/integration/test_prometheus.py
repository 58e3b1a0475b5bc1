"""A real Prometheus reads a real service: every panel of the dashboard has data, every alert can be evaluated, and the
most important one fires.
"""

import base64
import json
import math
import secrets
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import yaml

from https_receiver import Receiver, make_webhook_secret, receiving, webhooks_to
from portraits import astronaut_png, faceless_png, hopper_jpeg
from processes import two_free_ports, wait_for
from prometheus_server import DEPLOY, RULES, Prometheus, QdrantMetrics, at_once
from service import Service

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        shutil.which("prometheus") is None, reason="there is no Prometheus; on Debian: apt-get install prometheus"
    ),
]

NOBODY = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True)
class Watched:
    """A service, and a Prometheus that reads it with the rules of deploy/, whose alerts fire at once."""

    service: Service
    prometheus: Prometheus
    receiver: Receiver

    def traffic(self) -> None:
        """Send one request of each kind: all calls, with all their results, and one that is not waited for."""
        http = self.service.http
        face, other, no_face = (
            base64.b64encode(image).decode() for image in (astronaut_png(), hopper_jpeg(), faceless_png())
        )
        added = http.post("/v1/addface", data={"img": face, "name": "Eileen"}).json()
        assert added["status"] == "OK", added
        http.post("/v1/searchface", data={"img": face})
        http.post("/v1/searchface", data={"img": other})
        http.post("/v1/searchface", data={"img": no_face})
        http.post("/v1/delface", data={"person_id": added["message"][0]["person_id"]})
        http.post("/v1/delface", data={"person_id": NOBODY})
        http.post("/v1/facecompare", data={"img1": face, "img2": other})
        http.post("/v1/addface", data={"img": "AAAA"})
        http.post("/v1/addface", data={"img": "A" * 3_000_000})
        http.post("/v1/addface", data={"img": face, "facedb": "nobodys"})
        http.post("/v1/searchface", data={"img": face}, headers={"X-API-Key": "wrong"})
        later = {"Prefer": "respond-async", "X-Webhook-Url": self.receiver.url}
        assert http.post("/v1/searchface", data={"img": face}, headers=later).status_code == 202


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    folder, port = tmp_path_factory.mktemp("prometheus"), two_free_ports()
    rules, key = folder / "alerts.yml", folder / "QDRANT_API_KEY"
    rules.write_text(yaml.safe_dump(at_once(yaml.safe_load(RULES.read_text()))))
    key.write_text(secrets.token_urlsafe())
    with (
        QdrantMetrics(key.read_text()) as qdrant,
        receiving(folder) as receiver,
        Service(
            tmp_path_factory.mktemp("service"), {"FACESEARCH_METRICS_PORT": str(port), **webhooks_to(receiver)}
        ) as service,
        Prometheus(
            folder,
            {"gateway": f"127.0.0.1:{port}", "worker": f"127.0.0.1:{port + 1}", "qdrant": qdrant.address},
            rules,
            key,
        ) as prometheus,
    ):
        wait_for(lambda: prometheus.healthy_targets() == {"gateway", "worker", "qdrant", "prometheus"})
        make_webhook_secret(service.broker)
        yield Watched(service, prometheus, receiver)


def queries() -> Iterator[tuple[str, str]]:
    """Yield panel and query of every query in the dashboard, as Grafana fills them in outside Kubernetes."""
    dashboard = json.loads((DEPLOY / "grafana" / "dashboards" / "facesearch.json").read_text())
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"].replace("$__rate_interval", "30s").replace("$namespace", ".*")


@pytest.mark.embedded("it knows the memory limits of its own servers")
def test_every_query_of_every_panel_has_data(watched: Watched) -> None:
    # The answers are shown by pytest -s.
    answers: dict[tuple[str, str], list[tuple[dict[str, str], float]]] = {}

    def all_answered() -> bool:
        watched.traffic()
        for query in queries():
            answers[query] = [
                (labels, value) for labels, value in watched.prometheus.query(query[1]) if not math.isnan(value)
            ]
        return all(answers.values())

    try:
        wait_for(all_answered, 60)
    finally:
        for (title, query), series in answers.items():
            shown = " ".join("/".join(labels.values()) or "all" for labels, _ in series[:1])
            value = f"{series[0][1]:.4g} ({shown}; {len(series)} series)" if series else f"NOTHING: {query}"
            print(f"{title:36} {value}")


def test_every_rule_can_be_evaluated(watched: Watched) -> None:
    watched.traffic()
    groups = yaml.safe_load(RULES.read_text())["groups"]
    written = [rule.get("alert") or rule["record"] for group in groups for rule in group["rules"]]
    wait_for(lambda: all(rule["health"] != "unknown" for rule in watched.prometheus.rules()))
    rules = watched.prometheus.rules()
    assert sorted(rule["name"] for rule in rules) == sorted(written)
    assert [rule for rule in rules if rule["health"] != "ok"] == []


def test_the_alert_fires_for_a_dead_worker_only(watched: Watched) -> None:
    assert watched.prometheus.firing() & {"FacesearchNoWorker", "FacesearchTargetDown"} == set()
    worker = watched.service.child("-m worker")
    watched.service.process.send_signal(signal.SIGSTOP)  # so that nothing starts the worker again
    try:
        worker.kill()
        wait_for(lambda: watched.prometheus.firing() >= {"FacesearchNoWorker", "FacesearchTargetDown"})
        assert "FacesearchNoGateway" not in watched.prometheus.firing()
        assert "FacesearchBrokerDown" not in watched.prometheus.firing()
    finally:
        watched.service.process.send_signal(signal.SIGCONT)
    wait_for(lambda: watched.prometheus.firing() & {"FacesearchNoWorker", "FacesearchTargetDown"} == set())
    watched.traffic()
