"""The load generator on a real service."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from portraits import hopper_jpeg
from service import Service

pytestmark = pytest.mark.slow

LOAD = Path(__file__).parents[2] / "bench/load.py"


@pytest.fixture
def photo(service: Service, tmp_path: Path) -> Iterator[Path]:
    """A photo of a person who is in the facedb during the test."""
    path = tmp_path / "hopper.jpg"
    path.write_bytes(hopper_jpeg())
    (added,) = service.http.post("/v1/addface", files={"img": hopper_jpeg()}).json()["message"]
    yield path
    assert service.http.post("/v1/delface", data={"person_id": added["person_id"]}).json()["status"] == "OK"


def load(service: Service, way: str, amount: float, photo: Path, key: str = "") -> dict[str, Any]:
    command = [LOAD, service.address, key or service.key, "searchface", way, amount, 1.2, photo]
    done = subprocess.run([sys.executable, *map(str, command)], capture_output=True, text=True, timeout=60, check=True)
    return json.loads(done.stdout)


def test_a_closed_loop_is_answered(service: Service, photo: Path) -> None:
    report = load(service, "closed", 2, photo)
    assert set(report["answers"]) == {"OK"}
    assert report["requests"] >= sum(report["answers"].values()) > 0
    assert 0 < report["p50_ms"] <= report["p95_ms"] <= report["p99_ms"]


def test_an_open_loop_is_answered(service: Service, photo: Path) -> None:
    report = load(service, "open", 10, photo)
    assert report["answers"] == {"OK": report["requests"]}
    assert (report["refused"]["count"], report["in_vain"]["count"]) == (0, 0)
    assert report["per_second"] > 0


def test_refused_requests_are_not_throughput(service: Service, photo: Path) -> None:
    report = load(service, "open", 10, photo, key="nobodys")
    assert report["answers"] == {"INVALID_REQUEST": report["requests"]}
    assert (report["in_vain"]["count"], report["per_second"]) == (report["requests"], 0)
