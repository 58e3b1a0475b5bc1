"""A full disk refuses adds, and readiness and metrics report it, even without a failing call."""

import base64
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from redis import Redis

from faults.disk import MIB, Disk, disk, why_not
from portraits import hopper_jpeg
from processes import two_free_ports, wait_for
from service import UNHURRIED, Service
from worker.store.edge.tending import MIN_FREE_BYTES

pytestmark = [
    pytest.mark.slow,
    pytest.mark.embedded("it fills the disk of its own store"),
    pytest.mark.skipif(bool(why_not()), reason=why_not()),
]

IMG = {"img": base64.b64encode(hopper_jpeg()).decode()}


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Disk]:
    with disk(tmp_path / "disk", 2 * MIN_FREE_BYTES // MIB) as made:
        yield made


def test_a_store_on_a_full_disk_is_not_writable(small: Disk) -> None:
    port = two_free_ports()
    settings = {"FACESEARCH_METRICS_PORT": str(port), **UNHURRIED}
    with Service(small.folder / "data", settings) as service:

        def readiness() -> tuple[int, str]:
            answer = service.http.get("/readyz?verbose=1")
            return answer.status_code, answer.json()["message"]["disk"]

        def writable() -> bool:
            return "facesearch_store_writable 1.0" in httpx.get(f"http://127.0.0.1:{port + 1}/metrics").text

        def asked(call: str) -> str:
            status: str = service.http.post(f"/v1/{call}", data=IMG).json()["status"]
            return status

        assert asked("addface") == "OK"
        assert readiness() == (200, "ok")
        assert writable()
        with small.filled(leave_bytes=MIN_FREE_BYTES // 2):
            wait_for(lambda: readiness()[0] == 503)
            assert "less than 128 MB of disk are free" in readiness()[1]
            assert not writable()
            assert (asked("addface"), asked("searchface")) == ("FAIL", "OK")
            assert service.http.get("/readyz").status_code == 200, "it answers callers"
        # The failed add is remembered for a while, until an add succeeds.
        assert asked("addface") == "OK"
        wait_for(lambda: readiness() == (200, "ok"))
        assert writable()


def test_a_service_starts_on_a_full_disk_and_reports_it(small: Disk) -> None:
    with Service(small.folder / "data", dict(UNHURRIED)) as service:
        assert service.http.post("/v1/addface", data=IMG).json()["status"] == "OK"
    with small.filled(leave_bytes=MIN_FREE_BYTES // 2), Service(small.folder / "data", dict(UNHURRIED)) as service:
        assert service.http.post("/v1/searchface", data=IMG).json()["status"] == "OK"
        wait_for(lambda: "Not all of it can be used" in "".join(service.said))
        assert "of disk are free" in "".join(service.said)


def test_a_broker_that_cannot_write_its_file_is_reported(tmp_path: Path) -> None:
    with disk(tmp_path / "disk", 16) as small:
        home = tmp_path / "data"
        home.mkdir(mode=0o700)
        (home / "valkey").symlink_to(small.folder)
        with Service(home, dict(UNHURRIED)) as service, Redis.from_url(service.broker) as redis:
            small.fill(0)
            wait_for(lambda: redis.info("persistence")["aof_last_write_status"] != "ok" or not redis.incr("written"))
            answer = service.http.get("/readyz?verbose=1")
            assert answer.status_code == 503
            assert answer.json()["message"]["broker"] == "cannot write its append-only file; is its disk full?"
            small.free()
            wait_for(lambda: redis.info("persistence")["aof_last_write_status"] == "ok")
            wait_for(lambda: service.http.get("/readyz?verbose=1").status_code == 200)
