"""The programs of docs/clients.md, run on a real service where their language is installed."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from contract.tenants import new_tenant
from portraits import hopper_jpeg
from service import Service

ROOT = Path(__file__).parents[2]
UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
PRINTED = rf"added {UUID}\nfound Grace 100\ndeleted\n"
ANSWERED = (
    rf'{{"status": "OK", "message": \[{{"name": "Grace", "person_id": "{UUID}"}}\]}}'
    rf'{{"status": "OK", "message": \[{{"confidence": 100, "name": "Grace", "person_id": "{UUID}"}}\]}}'
    r'{"status": "OK", "message": "successfully deleted face"}'
)
REFUSED = "X-API-Key header is missing, or its key is unknown or has expired"


@dataclass(frozen=True)
class Language:
    """How a program is run. file: the name that it needs. command: before the file. needs: what must be installed."""

    file: str
    command: tuple[str, ...]
    needs: str


LANGUAGES = {
    "curl": Language("faces.sh", ("bash", "-e"), "curl"),
    "Python, with the client": Language("faces.py", (sys.executable, "-W", "error"), sys.executable),
    "Python, with httpx": Language("faces.py", (sys.executable, "-W", "error"), sys.executable),
    "JavaScript": Language("faces.mjs", ("node",), "node"),
    "Java": Language("Faces.java", ("java",), "javac"),
    "PHP": Language("faces.php", ("php",), "php"),
    "Go": Language("faces.go", ("go", "run"), "go"),
}
PROGRAMS = dict(
    re.findall(r"^## (.+?)\n.*?^```\w+\n(.*?)^```$", (ROOT / "docs/clients.md").read_text(), re.DOTALL | re.MULTILINE)
)


def test_every_program_of_the_document_is_run() -> None:
    assert PROGRAMS.keys() == LANGUAGES.keys()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "samples").mkdir()
    (tmp_path / "samples/grace.jpg").write_bytes(hopper_jpeg())
    return tmp_path


def unhurried(program: str) -> str:
    """Return the program with a time-out for a busy machine."""
    return re.sub(r"(?i)(?<=timeout)(\W.{0,20}?)\b20", r"\g<1>110", program)


def run(name: str, folder: Path, address: str, key: str) -> subprocess.CompletedProcess[str]:
    """Run the program of a language. Skips the test if the language is not installed."""
    language = LANGUAGES[name]
    if shutil.which(language.needs) is None:
        pytest.skip(f"{language.needs} is not installed")
    (folder / language.file).write_text(unhurried(PROGRAMS[name]))
    environment = {
        "HOME": str(folder),
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT / "clients/python/src"),
        "FACESEARCH_URL": address,
        "FACESEARCH_KEY": key,
    }
    return subprocess.run(
        [*language.command, language.file], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("name", LANGUAGES)
def test_a_program_adds_finds_and_deletes(service: Service, folder: Path, name: str) -> None:
    _, keys = new_tenant(service.broker, own={})
    done = run(name, folder, service.address, keys["own"])
    assert re.fullmatch(ANSWERED if name == "curl" else PRINTED, done.stdout), done.stdout + done.stderr
    assert done.stderr == ""
    assert done.returncode == 0
    search = httpx.post(
        f"{service.address}/v1/searchface",
        headers={"X-API-Key": keys["own"]},
        files={"img": hopper_jpeg()},
        timeout=150,
    )
    assert search.json()["status"] == "NO_SIMILAR_FACE"


@pytest.mark.parametrize("name", LANGUAGES)
def test_a_refused_program_says_why_and_not_its_key(service: Service, folder: Path, name: str) -> None:
    done = run(name, folder, service.address, "an-unknown-key")
    assert REFUSED in done.stdout + done.stderr
    assert "an-unknown-key" not in done.stdout + done.stderr
    assert name == "curl" or done.returncode != 0
