"""Lua scripts are files, and each has a test of its own on a real server."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("facesearch", "gateway", "shared", "worker")
SCRIPTS = [script for package in PACKAGES for script in sorted((ROOT / package).rglob("*.lua"))]
TESTS = "".join(path.read_text() for path in (ROOT / "tests/integration/scripts").glob("test_*.py"))

PARTS = {"common"}
"""Files that are no scripts by themselves: others include them at their start."""


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.relative_to(ROOT).as_posix())
def test_every_script_documents_its_arguments_and_has_a_test(script: Path) -> None:
    if script.stem in PARTS:
        return
    assert re.search(r"^-- (KEYS|ARGV): ", script.read_text(), re.MULTILINE), "says its KEYS or ARGV"
    assert len(re.findall(rf"def test_{script.stem}\(", TESTS)) == 1


def test_no_script_is_written_in_python() -> None:
    for package in PACKAGES:
        for source in (ROOT / package).rglob("*.py"):
            assert "redis.call('" not in source.read_text(), f"{source}: a script belongs into a .lua file"
