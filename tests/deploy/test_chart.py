"""What the chart makes, beyond what a schema can tell: that its parts fit each other."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy_tree import ROOT

EXAMPLES = sorted((ROOT / "deploy" / "helm" / "examples").glob("*.yaml"))

Objects = dict[tuple[str, str], dict[str, Any]]
"""By kind and by name without the release's."""


@pytest.fixture
def render(chart_folder: Path) -> Callable[..., Objects]:
    """Render the chart with values."""
    from helm_python import Chart  # noqa: PLC0415 -- only `make check-deploy` installs it

    def rendered(values: dict[str, Any] | None = None) -> Objects:
        with Chart.load(chart_folder) as chart:
            texts = chart.render(values=values or {}, name="facesearch", namespace="faces")
        objects = [
            document
            for name, text in texts.items()
            if name.endswith(".yaml")
            for document in yaml.safe_load_all(text)
            if document
        ]
        return {
            (item["kind"], item["metadata"]["name"].removeprefix("facesearch").lstrip("-")): item for item in objects
        }

    return rendered


@pytest.fixture(params=[None, *EXAMPLES], ids=lambda path: path.stem if path else "defaults")
def objects(request: pytest.FixtureRequest, render: Callable[..., Objects]) -> Objects:
    """What the defaults and each example make."""
    values = yaml.safe_load(request.param.read_text()) if request.param else {}
    for shipped in ("alerts", "dashboard"):
        values.setdefault("metrics", {})[shipped] = {"enabled": False}
    return render(values)


def pods(objects: Objects) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each pod template, with the name of what makes its pods."""
    for (kind, name), item in objects.items():
        if kind in {"Deployment", "StatefulSet"}:
            yield name, item["spec"]["template"]


def chosen(selector: dict[str, str], objects: Objects) -> list[str]:
    return [name for name, pod in pods(objects) if selector.items() <= pod["metadata"]["labels"].items()]


def test_every_selector_chooses_pods(objects: Objects) -> None:
    for (kind, name), item in objects.items():
        spec = item.get("spec", {})
        if kind == "Service":
            assert chosen(spec["selector"], objects), name
        elif kind in {"Deployment", "StatefulSet", "PodDisruptionBudget", "PodMonitor"}:
            assert chosen(spec["selector"]["matchLabels"], objects) == [name]
        elif kind == "NetworkPolicy" and name != "nothing":
            assert chosen(spec["podSelector"]["matchLabels"], objects) == [name]


def test_no_pod_escapes_the_policy_that_forbids_everything(objects: Objects) -> None:
    policy = objects["NetworkPolicy", "nothing"]["spec"]
    assert set(chosen(policy["podSelector"]["matchLabels"], objects)) == {name for name, _ in pods(objects)}
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert "ingress" not in policy
    assert "egress" not in policy


def test_what_scales_scales_something(objects: Objects) -> None:
    for (kind, name), item in objects.items():
        if kind in {"HorizontalPodAutoscaler", "ScaledObject"}:
            assert item["spec"]["scaleTargetRef"]["name"].removeprefix("facesearch-") == name
            assert "replicas" not in objects["Deployment", name]["spec"], "it would be reset by each upgrade"


def test_every_container_is_restricted(objects: Objects) -> None:
    """By the Pod Security Standard `restricted`, and with a root file system that cannot be written to."""
    for name, pod in pods(objects):
        spec = pod["spec"]
        assert spec["automountServiceAccountToken"] is False, name
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for container in spec["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert {"requests", "limits"} <= set(container["resources"]), name


def test_every_secret_that_the_chart_makes_has_what_pods_take_of_it(objects: Objects) -> None:
    for name, pod in pods(objects):
        for volume in pod["spec"].get("volumes", []):
            for source in volume.get("projected", {}).get("sources", []):
                secret = objects.get(("Secret", source["secret"]["name"].removeprefix("facesearch").lstrip("-")))
                if secret and not source["secret"].get("optional"):
                    assert {item["key"] for item in source["secret"]["items"]} <= set(secret["stringData"]), name


def test_no_secret_is_in_the_config_map_or_in_an_argument(objects: Objects) -> None:
    secrets = {
        value
        for (kind, _), item in objects.items()
        if kind == "Secret" and item["metadata"]["name"] != "facesearch-worker-tls"
        for value in item["stringData"].values()
    }
    elsewhere = yaml.safe_dump([item for (kind, _), item in objects.items() if kind != "Secret"])
    assert not [value for value in secrets if value in elsewhere]


def test_the_queue_that_keda_watches_is_the_one_that_jobs_wait_in(render: Callable[..., Objects]) -> None:
    from shared.jobs import QUEUE  # noqa: PLC0415 -- beside its only use

    objects = render({"worker": {"autoscaling": {"by": "queue"}}})
    trigger = objects["ScaledObject", "worker"]["spec"]["triggers"][0]
    assert trigger["metadata"]["listName"] == QUEUE
    assert trigger["metadata"]["address"] == "facesearch-valkey.faces.svc:6379"


def test_pods_get_the_time_that_draining_and_the_deadline_take(render: Callable[..., Objects]) -> None:
    objects = render({"config": {"FACESEARCH_DEADLINE_S": 30.5, "FACESEARCH_DRAIN_S": 7}})
    assert objects["Deployment", "gateway"]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 7 + 31 + 20
    assert objects["Deployment", "worker"]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 31 + 20


def test_settings_are_written_as_they_are_read(render: Callable[..., Objects], monkeypatch: pytest.MonkeyPatch) -> None:
    """A whole number has no exponent, a truth value is one: the settings take all of it."""
    from shared.settings import Settings  # noqa: PLC0415 -- beside its only use

    given = {
        "FACESEARCH_MAX_PIXELS": 50_000_000,
        "FACESEARCH_QDRANT_ON_DISK": True,
        "FACESEARCH_TRACES_SAMPLE": 0.01,
        "FACESEARCH_QDRANT_SHARDS": 6,
    }
    data = render({"config": given})["ConfigMap", ""]["data"]
    for name, value in data.items():
        monkeypatch.setenv(name, value)
    settings = Settings()
    assert settings.max_pixels == 50_000_000
    assert settings.qdrant_on_disk
    assert settings.traces_sample == 0.01
    assert settings.qdrant_shards == 6
    assert settings.store_kind == "qdrant"
    assert settings.qdrant_url == "http://facesearch-qdrant:6333"


def test_a_gpu_worker_asks_for_a_device_and_runs_the_image_for_it(render: Callable[..., Objects]) -> None:
    objects = render({"worker": {"gpu": {"enabled": True}}})
    container = objects["Deployment", "worker"]["spec"]["template"]["spec"]["containers"][0]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert container["image"].endswith("-cuda")
    assert objects["ConfigMap", ""]["data"]["FACESEARCH_DEVICE"] == "cuda"


def test_the_admin_api_is_reached_only_by_whom_it_is_opened_to(render: Callable[..., Objects]) -> None:
    values = {"admin": {"enabled": True}, "secrets": {"values": {"FACESEARCH_ADMIN_KEY": "sixteen-letters-"}}}
    policy = render(values)["NetworkPolicy", "gateway"]["spec"]
    assert 8001 not in [port["port"] for rule in policy["ingress"] for port in rule["ports"]]
    values["networkPolicy"] = {"admin": [{"podSelector": {}}]}
    policy = render(values)["NetworkPolicy", "gateway"]["spec"]
    assert 8001 in [port["port"] for rule in policy["ingress"] for port in rule["ports"]]
