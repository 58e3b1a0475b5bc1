"""A gateway, the commands on control data and `facesearch doctor`, with only the packages of the gateway's image."""

import re
import signal
import subprocess

import httpx
import pytest
from redis import Redis

from gateway_place import Place, place
from processes import two_free_ports, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.embedded("it starts servers of its own")]


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return place(tmp_path_factory.mktemp("gateway"))


def facesearch(here: Place, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return here.run("-m", "facesearch", *arguments, **settings)


def test_a_gateway_accepts_a_key_created_by_a_command(here: Place, valkey_url: str) -> None:
    port = two_free_ports()
    settings = {"REDIS_URL": valkey_url, "FACESEARCH_PORT": str(port), "FACESEARCH_DRAIN_S": "0"}
    with subprocess.Popen(here.command("-m", "gateway"), env=here.environment(**settings)) as gateway:
        try:
            url = f"http://127.0.0.1:{port}"
            wait_for(lambda: is_up(url))
            key = facesearch(here, "keys", "create", "--name", "first", REDIS_URL=valkey_url).stdout.strip()
            # A request without a person_id is refused by the gateway alone, after a check of the key.
            answer = httpx.post(f"{url}/v1/delface", headers={"X-API-Key": key}, data={"name": "x"})
            assert answer.json()["status"] == "INVALID_REQUEST"
        finally:
            gateway.send_signal(signal.SIGTERM)
    assert gateway.returncode == 0
    assert "first" in facesearch(here, "keys", "list", REDIS_URL=valkey_url).stdout
    assert "INVALID_REQUEST" in facesearch(here, "usage", REDIS_URL=valkey_url).stdout


def is_up(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz").status_code == 200
    except httpx.TransportError:
        return False


def test_doctor_checks_what_a_gateway_needs(here: Place, valkey_url: str) -> None:
    images = "redis://127.0.0.1:9"
    done = facesearch(here, "doctor", REDIS_URL=valkey_url, FACESEARCH_PORT="9")
    assert done.returncode == 0, done.stdout + done.stderr
    found = subjects(done.stdout)
    assert found["checked"].startswith("ok a gateway")
    assert found["packages"].startswith("ok aiohttp ")
    assert found["redis"].startswith("ok answers")
    assert found["results"] == "ok a gateway can subscribe to them"
    assert found["limits"].startswith("ok 1000 requests a second and 128 at once for each key")
    assert found["worker"].startswith("no none is alive")
    assert found["service"].startswith("no ")
    assert not {"detection", "embedding", "models", "valkey", "qdrant", "data directory"} & set(found)
    lost = facesearch(here, "doctor", REDIS_URL=valkey_url, FACESEARCH_IMAGES_URL=images)
    assert lost.returncode == 1
    assert subjects(lost.stdout)["image store"].startswith("FAIL the Redis of FACESEARCH_IMAGES_URL")
    assert "does not answer" in subjects(lost.stdout)["image store"]


def test_doctor_reports_missing_rights_of_the_redis_user(here: Place, valkey_url: str) -> None:
    with Redis.from_url(valkey_url) as client:
        client.execute_command("ACL", "SETUSER", "default", "-eval", "-psubscribe")
    done = facesearch(here, "doctor", REDIS_URL=valkey_url)
    assert done.returncode == 1
    found = subjects(done.stdout)
    assert found["redis"].startswith("ok ")
    assert re.match(r"FAIL the Redis of REDIS_URL refuses it \(.*\); allow it", found["results"])
    assert re.match(r"FAIL the Redis of REDIS_URL refuses it \(.*\); allow it", found["limits"])


def subjects(output: str) -> dict[str, str]:
    """Return the mark and the text of each subject in doctor's output."""
    lines = (re.fullmatch(r"(ok|no|FAIL) +(.{16}) (.*)", line) for line in output.splitlines())
    return {line[2].strip(): f"{line[1]} {line[3]}" for line in lines if line}


def test_doctor_reports_a_missing_redis(here: Place) -> None:
    done = facesearch(here, "doctor")
    assert done.returncode == 1
    assert subjects(done.stdout)["redis"].startswith("FAIL REDIS_URL is not set, and a gateway by itself needs it")
