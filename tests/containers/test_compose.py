"""The compose file as it is: published ports, secrets, rights, limits, and a working service."""

import base64
import json
from datetime import datetime

import httpx
import pytest
from figures import Figures
from stack import ROOT, Stack, events, healthy, inspect, logs

import portraits
from processes import wait_for

SERVICES = ["gateway", "images", "qdrant", "secrets", "valkey", "worker"]
SECRETS = {
    "gateway": ["FACESEARCH_ADMIN_KEY", "FACESEARCH_IMAGES_URL", "REDIS_URL"],
    "worker": ["FACESEARCH_IMAGES_URL", "QDRANT_API_KEY", "REDIS_URL"],
    "valkey": ["valkey-password", "valkey.conf"],
    "images": ["images-password", "images.conf"],
    "qdrant": ["QDRANT_API_KEY"],
}
"""The content of /run/secrets of each service."""

# Mounted into every container by the engine itself.
OF_THE_ENGINE = {"/dev/shm", "/dev/mqueue", "/dev/pts", "/dev/tty", "/dev"}  # noqa: S108 -- of the container
WRITABLE = """
import os
for line in open("/proc/mounts"):
    place = line.split()[1]
    if not place.startswith(("/proc", "/sys")) and os.access(place, os.W_OK):
        print(place)
"""


def test_the_log_says_how_to_make_a_key_and_that_key_works(cluster: Stack) -> None:
    (gateway,) = cluster.containers("gateway")
    (said,) = [event for event in events(gateway) if event["event"] == "no_api_key"]
    assert "docker compose exec gateway facesearch keys create --name first" in said["hint"]
    key = cluster.new_key()
    with httpx.Client(base_url=cluster.urls()[0], headers={"X-API-Key": key}, timeout=30) as http:
        eileen, grace = portraits.astronaut_png(), portraits.hopper_jpeg()
        added = http.post("/v1/addface", data={"img": encoded(eileen), "name": "Eileen"}).json()
        assert added["status"] == "OK"
        face = added["message"][0]
        assert http.post("/v1/searchface", data={"img": encoded(eileen)}).json()["message"] == [
            {"confidence": 100, **face}
        ]
        assert http.post("/v1/searchface", data={"img": encoded(grace)}).json()["status"] == "NO_SIMILAR_FACE"
        assert http.post("/v1/delface", data={"person_id": face["person_id"]}).json()["status"] == "OK"
        assert http.post("/v1/searchface", data={"img": encoded(eileen)}).json()["status"] == "NO_SIMILAR_FACE"


def test_a_request_without_a_key_is_refused(cluster: Stack) -> None:
    answer = httpx.post(f"{cluster.urls()[0]}/v1/delface", data={"person_id": "x"})
    assert answer.status_code == 401


def test_only_the_gateway_is_published_and_only_on_loopback(cluster: Stack) -> None:
    for service in SERVICES:
        (container,) = cluster.containers(service)
        bound = inspect(container)["NetworkSettings"]["Ports"]
        hosts = {(port, where["HostIp"]) for port, places in bound.items() for where in places or []}
        assert hosts == ({("8000/tcp", "127.0.0.1")} if service == "gateway" else set())


def test_the_network_of_the_servers_is_internal(cluster: Stack) -> None:
    assert inspect(f"{cluster.project}_backend")["Internal"]
    (worker,) = cluster.containers("worker")
    assert list(inspect(worker)["NetworkSettings"]["Networks"]) == [f"{cluster.project}_backend"]


def test_the_servers_require_a_password(cluster: Stack) -> None:
    for service in ("valkey", "images"):
        said = cluster.run("exec", "--no-TTY", service, "sh", "-c", "valkey-cli ping 2>&1")
        assert "NOAUTH" in said
    ask = "import urllib.request as r; r.urlopen('http://qdrant:6333/collections')"
    said = cluster.run("exec", "--no-TTY", "worker", "sh", "-c", f'python -c "{ask}" 2>&1 | tail -1')
    assert "HTTP Error 401" in said


def test_no_secret_is_in_a_log_or_in_docker_inspect(cluster: Stack, key: str) -> None:
    read = "cd /run/secrets; for n in *; do cat $n; echo; done"
    made = cluster.run("run", "--rm", "--no-TTY", "--entrypoint", "sh", "secrets", "-c", read).split()
    secrets = [*(word for word in made if word != "requirepass"), key]
    assert len(secrets) >= len(SECRETS) + 1
    for service in SERVICES:
        for container in cluster.containers(service):
            text = json.dumps(inspect(container)) + "".join(logs(container))
            assert not [secret for secret in secrets if secret in text], service


@pytest.mark.parametrize("service", SECRETS)
def test_each_service_has_its_own_secrets_and_no_others(cluster: Stack, service: str) -> None:
    assert cluster.run("exec", "--no-TTY", service, "ls", "/run/secrets").split() == SECRETS[service]


@pytest.mark.parametrize(
    ("service", "lines"),
    [
        ("gateway", ["redis", "image store", "results", "limits", "worker", "service"]),
        ("worker", ["detection", "embedding", "redis", "image store", "qdrant"]),
    ],
)
def test_doctor_finds_no_failure(cluster: Stack, service: str, lines: list[str]) -> None:
    output = cluster.run("exec", "--no-TTY", service, "facesearch", "doctor").splitlines()
    assert f" a {service}: " in output[0]
    assert not [line for line in output if line.startswith("FAIL")]
    for subject in lines:
        assert [line for line in output if line.startswith(f"ok    {subject} ")], (subject, output)


def test_only_temporary_folders_and_volumes_can_be_written(cluster: Stack) -> None:
    for service in ("gateway", "worker"):
        places = set(cluster.run("exec", "--no-TTY", service, "python", "-c", WRITABLE).split())
        assert places - OF_THE_ENGINE == {"/tmp"}  # noqa: S108 -- of the container
    for service in ("valkey", "images", "qdrant"):
        (container,) = cluster.containers(service)
        assert inspect(container)["HostConfig"]["ReadonlyRootfs"]


def test_no_container_has_a_capability_or_can_gain_one(cluster: Stack) -> None:
    for service in ("gateway", "worker", "valkey", "images", "qdrant"):
        status = cluster.run("exec", "--no-TTY", service, "cat", "/proc/1/status")
        lines = dict(line.split(":\t") for line in status.splitlines())
        assert int(lines["CapEff"], 16) == int(lines["CapBnd"], 16) == 0
        assert lines["NoNewPrivs"] == "1"


def test_every_server_has_limits_restarts_and_log_rotation(cluster: Stack) -> None:
    for service in ("gateway", "worker", "valkey", "images", "qdrant"):
        (container,) = cluster.containers(service)
        host = inspect(container)["HostConfig"]
        assert host["Memory"]
        assert host["NanoCpus"]
        assert host["RestartPolicy"]["Name"] == "unless-stopped"
        assert host["LogConfig"]["Config"] == {"max-size": "10m", "max-file": "5"}


def test_containers_with_images_in_memory_never_swap(cluster: Stack) -> None:
    for service in ("gateway", "worker", "images"):
        (container,) = cluster.containers(service)
        host = inspect(container)["HostConfig"]
        assert host["MemorySwap"] == host["Memory"]


@pytest.mark.parametrize(("service", "started"), [("gateway", "gateway_started"), ("worker", "ready.")])
def test_the_start_up_time_is_measured(cluster: Stack, figures: Figures, service: str, started: str) -> None:
    (container,) = cluster.containers(service)
    begun = datetime.fromisoformat(inspect(container)["State"]["StartedAt"][:26] + "+00:00")
    (ready,) = [line["timestamp"] for line in events(container) if line["event"].endswith(started)]
    seconds = (datetime.fromisoformat(ready) - begun).total_seconds()
    figures.facts.append(f"{service}: {seconds:.1f} s from its start to `{started}`")
    assert seconds > 0


def test_secrets_and_faces_outlive_the_containers(cluster: Stack, key: str) -> None:
    def post(call: str, **form: str) -> dict[str, object]:
        address = f"{cluster.urls()[0]}/v1/{call}"
        return httpx.post(address, headers={"X-API-Key": key}, data=form, timeout=30).json()

    grace = encoded(portraits.hopper_jpeg())
    assert post("addface", img=grace, name="Grace")["status"] == "OK"
    cluster.run("down")
    cluster.up()
    cluster.wait_until_ready()
    assert all(map(healthy, cluster.containers("gateway") + cluster.containers("worker")))
    wait_for(lambda: post("searchface", img=grace)["status"] == "OK")


def test_a_password_is_changed_as_the_docs_say(cluster: Stack, key: str) -> None:
    def password() -> str:
        return cluster.run("exec", "--no-TTY", "gateway", "cat", "/run/secrets/REDIS_URL")

    old = password()
    remove = "run --rm --entrypoint rm secrets /run/secrets/valkey-password"
    recreate = "up --detach --force-recreate"
    for command in (remove, recreate):
        assert f"docker compose {command}\n" in (ROOT / "docs" / "compose.md").read_text()
    cluster.run(*remove.split())
    cluster.run(*recreate.split(), "--no-build", "--wait")
    cluster.wait_until_ready()
    assert password() != old
    form = {"img": encoded(portraits.hopper_jpeg())}
    headers = {"X-API-Key": key}
    answer = httpx.post(f"{cluster.urls()[0]}/v1/searchface", headers=headers, data=form, timeout=30).json()
    assert answer["status"] == "OK"


def encoded(image: bytes) -> str:
    return base64.b64encode(image).decode()
