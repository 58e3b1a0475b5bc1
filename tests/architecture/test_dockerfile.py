"""The images hold only packages that are pinned by hash."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text().replace("\\\n", " ")
FETCHES = re.findall(r"pip(?: --python \S+)? (?:install|wheel|download) [^\n&]*", DOCKERFILE)

PINNED = re.compile(r"(?P<name>[a-z0-9-]+)==(?P<version>[^ ;]+)(?: ; [^\n]+)? \\\n +--hash=sha256:[0-9a-f]{64}")


def test_pip_installs_by_hash_or_without_an_index() -> None:
    assert len(FETCHES) >= 5
    for command in FETCHES:
        assert "--require-hashes -r /requirements.txt" in command or "--no-index" in command, command
        assert "--no-deps" in command or "--no-build-isolation" in command, command


def test_the_wheel_is_built_with_pinned_tools() -> None:
    (build,) = [command for command in FETCHES if " wheel " in command]
    assert {"--no-build-isolation", "--no-index", "--no-deps"} <= {*build.split()}
    pinned = {match["name"]: match["version"] for match in PINNED.finditer(requirements("build"))}
    for needed in PYPROJECT["build-system"]["requires"]:
        name, _, version = needed.partition("==")
        assert pinned[name] == version
    assert PYPROJECT["dependency-groups"]["build"] == PYPROJECT["build-system"]["requires"]


@pytest.mark.parametrize("name", ["build", "gateway", "image", "image-cuda"])
def test_every_requirement_of_a_list_has_its_hash(name: str) -> None:
    text = requirements(name)
    named = re.findall(r"^[a-z0-9][^\n]*", text, re.MULTILINE)
    assert len(named) == len(PINNED.findall(text)) > 0


def requirements(name: str) -> str:
    return (ROOT / "requirements" / f"{name}.txt").read_text()
