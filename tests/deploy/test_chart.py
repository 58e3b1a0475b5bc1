"""Objects of the chart fit each other, which a schema cannot check."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy_tree import ROOT

pytestmark = pytest.mark.slow

EXAMPLES = sorted((ROOT / "deploy" / "helm" / "examples").glob("*.yaml"))

Objects = dict[tuple[str, str], dict[str, Any]]
"""Objects by kind and by name, without the name of the release."""


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
            for document in yaml.load_all(text, Loader=yaml.CSafeLoader)
            if document
        ]
        return {
            (item["kind"], item["metadata"]["name"].removeprefix("facesearch").lstrip("-")): item for item in objects
        }

    return rendered


@pytest.fixture(params=[None, *EXAMPLES], ids=lambda path: path.stem if path else "defaults")
def objects(request: pytest.FixtureRequest, render: Callable[..., Objects]) -> Objects:
    """The objects of the defaults and of each example."""
    values = yaml.safe_load(request.param.read_text()) if request.param else {}
    for shipped in ("alerts", "dashboard"):
        values.setdefault("metrics", {})[shipped] = {"enabled": False}
    return render(values)


def pods(objects: Objects) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each pod template with the name of its workload."""
    for (kind, name), item in objects.items():
        if kind in {"Deployment", "StatefulSet", "Job"}:
            yield name, item["spec"]["template"]
        elif kind == "CronJob":
            yield name, item["spec"]["jobTemplate"]["spec"]["template"]


def selected(selector: dict[str, str], objects: Objects) -> list[str]:
    return [name for name, pod in pods(objects) if selector.items() <= pod["metadata"]["labels"].items()]


def test_every_selector_selects_pods(objects: Objects) -> None:
    for (kind, name), item in objects.items():
        spec = item.get("spec", {})
        if kind == "Service":
            assert selected(spec["selector"], objects), name
        elif kind in {"Deployment", "StatefulSet", "PodDisruptionBudget", "PodMonitor"}:
            assert selected(spec["selector"]["matchLabels"], objects) == [name]
        elif kind == "NetworkPolicy" and name != "nothing":
            jobs = ["restore"] if name == "backup" and ("Job", "restore") in objects else []
            assert selected(spec["podSelector"]["matchLabels"], objects) == [name, *jobs]


def test_the_policy_that_forbids_all_traffic_selects_every_pod(objects: Objects) -> None:
    policy = objects["NetworkPolicy", "nothing"]["spec"]
    assert set(selected(policy["podSelector"]["matchLabels"], objects)) == {name for name, _ in pods(objects)}
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert "ingress" not in policy
    assert "egress" not in policy


def test_every_autoscaler_scales_a_deployment_without_a_fixed_number(objects: Objects) -> None:
    for (kind, name), item in objects.items():
        if kind in {"HorizontalPodAutoscaler", "ScaledObject"}:
            assert item["spec"]["scaleTargetRef"]["name"].removeprefix("facesearch-") == name
            assert "replicas" not in objects["Deployment", name]["spec"], "it would be reset by each upgrade"


def test_every_container_is_restricted(objects: Objects) -> None:
    """By the Pod Security Standard `restricted`, and with a read-only root file system."""
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


def test_every_secret_of_the_chart_has_the_keys_that_pods_mount(objects: Objects) -> None:
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


BACKUP = {"backup": {"enabled": True, "keep": 3, "restore": "2026-01-31T03-17-00Z"}}
EXTRA = {
    "extraVolumes": [{"name": "more", "emptyDir": {}}],
    "extraVolumeMounts": [{"name": "more", "mountPath": "/more"}],
}


def jobs(objects: Objects) -> dict[str, dict[str, Any]]:
    """Return the pods of the jobs on backups by their name."""
    return {name: pod["spec"] for name, pod in pods(objects) if name in {"backup", "restore"}}


def test_no_backup_is_taken_by_default(render: Callable[..., Objects]) -> None:
    assert not jobs(render())
    assert ("PersistentVolumeClaim", "backup") not in render()


def test_backup_jobs_run_their_commands_with_the_workers_image(render: Callable[..., Objects]) -> None:
    objects = render(BACKUP)
    worker = objects["Deployment", "worker"]["spec"]["template"]["spec"]["containers"][0]
    containers = {name: pod["containers"][0] for name, pod in jobs(objects).items()}
    assert {name: container["command"] for name, container in containers.items()} == {
        "backup": ["facesearch", "backup", "/backups", "--keep", "3"],
        "restore": ["facesearch", "restore", "/backups/2026-01-31T03-17-00Z", "--overwrite"],
    }
    assert {container["image"] for container in containers.values()} == {worker["image"]}


def test_backup_jobs_may_write_to_their_folder(render: Callable[..., Objects]) -> None:
    """They run as the user of the image, and the volume belongs to its group."""
    for pod in jobs(render(BACKUP)).values():
        assert pod["securityContext"].items() >= {"runAsUser": 10001, "runAsGroup": 10001, "fsGroup": 10001}.items()
        assert {"name": "backups", "mountPath": "/backups"} in pod["containers"][0]["volumeMounts"]
        (volume,) = (volume for volume in pod["volumes"] if volume["name"] == "backups")
        assert volume["persistentVolumeClaim"] == {"claimName": "facesearch-backup"}


def test_backup_jobs_reach_the_queue_and_the_faces_and_accept_no_traffic(
    render: Callable[..., Objects],
) -> None:
    objects = render(BACKUP)
    labels = selected_labels(objects["NetworkPolicy", "backup"])
    assert "ingress" not in objects["NetworkPolicy", "backup"]["spec"]
    for server, allowed in (("valkey", True), ("qdrant", True), ("images", False)):
        (rule,) = objects["NetworkPolicy", server]["spec"]["ingress"]
        assert (labels in [peer["podSelector"]["matchLabels"] for peer in rule["from"]]) is allowed, server
    for pod in jobs(objects).values():
        (volume,) = (volume for volume in pod["volumes"] if volume["name"] == "secrets")
        files = {item["path"] for source in volume["projected"]["sources"] for item in source["secret"]["items"]}
        assert files == {"REDIS_URL", "QDRANT_API_KEY"}


def selected_labels(policy: dict[str, Any]) -> dict[str, str]:
    return policy["spec"]["podSelector"]["matchLabels"]


def test_backups_outlive_the_release_or_go_to_an_existing_claim(render: Callable[..., Objects]) -> None:
    claim = render(BACKUP)["PersistentVolumeClaim", "backup"]
    assert claim["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    objects = render({"backup": {**BACKUP["backup"], "existingClaim": "mine"}})
    assert ("PersistentVolumeClaim", "backup") not in objects
    for pod in jobs(objects).values():
        (volume,) = (volume for volume in pod["volumes"] if volume["name"] == "backups")
        assert volume["persistentVolumeClaim"] == {"claimName": "mine"}


def test_the_name_of_the_cronjob_leaves_space_for_the_suffix_of_its_jobs(render: Callable[..., Objects]) -> None:
    objects = render({**BACKUP, "fullnameOverride": "a" * 60})
    (name,) = (item["metadata"]["name"] for (kind, _), item in objects.items() if kind == "CronJob")
    assert len(name) <= 52


def test_extra_volumes_are_in_gateways_workers_and_jobs(render: Callable[..., Objects]) -> None:
    objects = render({**BACKUP, **EXTRA})
    having = {name for name, pod in pods(objects) if {"name": "more", "emptyDir": {}} in pod["spec"]["volumes"]}
    assert having == {"gateway", "worker", "backup", "restore"}
    for name, pod in pods(objects):
        mounts = pod["spec"]["containers"][0]["volumeMounts"]
        assert ({"name": "more", "mountPath": "/more"} in mounts) is (name in having)


def test_snapshots_of_qdrant_are_on_its_claim(render: Callable[..., Objects]) -> None:
    """The disk of the node need not have space for them."""
    (container,) = render()["StatefulSet", "qdrant"]["spec"]["template"]["spec"]["containers"]
    (where,) = (item["value"] for item in container["env"] if item["name"] == "QDRANT__STORAGE__SNAPSHOTS_PATH")
    (data,) = (mount["mountPath"] for mount in container["volumeMounts"] if mount["name"] == "data")
    assert where == f"{data}/snapshots"


def test_keda_scales_by_the_list_of_waiting_jobs(render: Callable[..., Objects]) -> None:
    from shared.fair_queue import HELD  # noqa: PLC0415 -- beside its only use

    objects = render({"worker": {"autoscaling": {"by": "queue"}}})
    trigger = objects["ScaledObject", "worker"]["spec"]["triggers"][0]
    assert trigger["metadata"]["listName"] == HELD
    assert trigger["metadata"]["address"] == "facesearch-valkey.faces.svc:6379"


def test_pods_have_time_to_drain_and_to_reach_the_deadline(render: Callable[..., Objects]) -> None:
    objects = render({"config": {"FACESEARCH_DEADLINE_S": 30.5, "FACESEARCH_DRAIN_S": 7}})
    assert objects["Deployment", "gateway"]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 7 + 31 + 20
    assert objects["Deployment", "worker"]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 31 + 20


def test_settings_of_the_chart_keep_their_values(
    render: Callable[..., Objects], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Large whole numbers are written without an exponent, and booleans as the settings read them."""
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


def test_a_gpu_worker_requests_a_device_and_runs_the_cuda_image(render: Callable[..., Objects]) -> None:
    objects = render({"worker": {"gpu": {"enabled": True}}})
    container = objects["Deployment", "worker"]["spec"]["template"]["spec"]["containers"][0]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert container["image"].endswith("-cuda")
    assert objects["ConfigMap", ""]["data"]["FACESEARCH_DEVICE"] == "cuda"


def test_the_admin_api_is_reachable_only_for_the_peers_of_its_policy(render: Callable[..., Objects]) -> None:
    values = {"admin": {"enabled": True}, "secrets": {"values": {"FACESEARCH_ADMIN_KEY": "sixteen-letters-"}}}
    policy = render(values)["NetworkPolicy", "gateway"]["spec"]
    assert 8001 not in [port["port"] for rule in policy["ingress"] for port in rule["ports"]]
    values["networkPolicy"] = {"admin": [{"podSelector": {}}]}
    policy = render(values)["NetworkPolicy", "gateway"]["spec"]
    assert 8001 in [port["port"] for rule in policy["ingress"] for port in rule["ports"]]
