"""The images by themselves."""

import pytest
from figures import Figures
from stack import docker, inspect

IMAGES = {"gateway": "facesearch/gateway:latest", "worker": "facesearch/worker:latest"}
TOOLS = ["cc", "gcc", "g++", "ld", "make", "git", "curl", "wget", "cargo"]


@pytest.fixture(params=list(IMAGES))
def role(request: pytest.FixtureRequest) -> str:
    return request.param


def output(role: str, *command: str) -> str:
    return docker("run", "--rm", "--network", "none", "--read-only", "--cap-drop", "ALL", IMAGES[role], *command)


def test_runs_as_a_user_who_cannot_write_its_files(role: str) -> None:
    assert inspect(IMAGES[role])["Config"]["User"] == "10001:10001"
    assert output(role, "id", "-u").strip() == "10001"
    owned = output(role, "find", "/app", "/venv", "-writable")
    assert owned == ""


def test_starts_without_a_shell_and_stops_by_sigterm(role: str) -> None:
    config = inspect(IMAGES[role])["Config"]
    assert config["Cmd"] == ["python", "-m", role]
    assert config["StopSignal"] == "SIGTERM"
    assert config["Healthcheck"]["Test"][:2] == ["CMD", "python"]


def test_has_no_build_tools(role: str) -> None:
    script = f"for tool in {' '.join(TOOLS)}; do command -v $tool; done; ls /venv/bin; true"
    found = set(output(role, "sh", "-c", script).split())
    assert not {name for name in found if name.startswith("pip") or name.rpartition("/")[2] in TOOLS}
    assert "python" in found


def test_bytecode_is_compiled_and_never_checked(role: str) -> None:
    """Flags 1: unchecked hash-based pycs, PEP 552."""
    script = f"import {role}.app, redis; import sys; print(*(m.__cached__ for m in sys.modules.values() if"
    script += " getattr(m, '__cached__', None) and m.__file__.startswith(('/app', '/venv'))), sep='\\n')"
    paths = output(role, "python", "-c", script).split()
    check = "import sys; print({open(path, 'rb').read(8)[4:] for path in sys.stdin.read().split()})"
    assert len(paths) > 100
    flags = output(role, "python", "-c", check.replace("sys.stdin.read().split()", repr(paths)))
    assert flags.strip() == repr({b"\x01\x00\x00\x00"})


def test_doctor_checks_the_role_of_the_image() -> None:
    gateway, worker = doctor("gateway"), doctor("worker")
    assert "a gateway: it has no models and no store, by what is installed" in gateway
    assert "detection" not in gateway
    assert "a worker: no caller reaches it, by what is installed" in worker
    assert "admin API" not in worker


def test_the_worker_has_its_models() -> None:
    for task in ("detection", "embedding"):
        (line,) = (line for line in doctor("worker").splitlines() if task in line)
        assert line.startswith("ok ")


def test_the_gateway_has_no_package_that_only_a_worker_needs() -> None:
    script = (
        "from facesearch.diagnosis import installed as i; print(len(i.missing(i.FOR_WORKERS)) == len(i.FOR_WORKERS))"
    )
    assert output("gateway", "python", "-c", script).strip() == "True"
    assert output("worker", "python", "-c", script.replace("== len(i.FOR_WORKERS)", "== 0")).strip() == "True"


def test_the_gateway_image_is_at_most_300_mb() -> None:
    """With the stand-in of its base, which is some 30 MB larger than the official image."""
    assert inspect(IMAGES["gateway"])["Size"] <= 300e6


def test_the_size_of_the_image_is_measured(role: str, figures: Figures) -> None:
    size = inspect(IMAGES[role])["Size"]
    base = inspect("python:3.11-slim-bookworm")["Size"]
    figures.facts.append(f"{role} image: {size / 1e6:.0f} MB, {base / 1e6:.0f} MB of them the stand-in of its base")
    assert size < 2e9


def doctor(role: str) -> str:
    return output(role, "sh", "-c", "facesearch doctor; true")
