"""The messages of `make` when pip cannot install, with a pip that fails as the real one does."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

RETRYING = "WARNING: Retrying (Retry(total=4, connect=None, redirect=None)) after connection broken by "
NO_NAME = RETRYING + (
    "'NameResolutionError(\"HTTPSConnection(host='index.test', port=443): Failed to resolve 'index.test' ([Errno -3] "
    "Temporary failure in name resolution)\")': /simple/aiohttp/"
)
NOT_TRUSTED = RETRYING + "'SSLError(SSLCertVerificationError(1, 'certificate verify failed'))': /simple/aiohttp/"
NO_PACKAGE = "ERROR: No matching distribution found for aiohttp==3.14.5"
NO_SPACE = "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device"


def make(folder: Path, said: list[str], status: int) -> subprocess.CompletedProcess[str]:
    for name in ("Makefile", "pyproject.toml", "requirements"):
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copyfile)(source, folder / name)
    tools = folder / ".venv/bin"
    tools.mkdir(parents=True)
    (tools / "python").touch()
    (folder / "said").write_text("".join(f"{line}\n" for line in said))
    (tools / "pip").write_text(f"#!/bin/sh\ncat said >&2\nexit {status}\n")
    (tools / "pip").chmod(0o755)
    # The suite itself may have been started by make.
    environment = {
        name: value for name, value in os.environ.items() if name not in ("MAKELEVEL", "MAKEFLAGS", "MFLAGS")
    }
    return subprocess.run(
        ["make", ".venv/.runtime"], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_a_missing_network_is_reported_in_one_line_with_a_hint(tmp_path: Path) -> None:
    made = make(tmp_path, [NO_NAME, NO_NAME, NO_PACKAGE], status=1)
    line, end = made.stderr.splitlines()
    assert line == (
        'facesearch is not installed: pip cannot reach the package index from here. "Without network" in '
        "docs/install.md says what to copy from a machine that can."
    )
    assert end.startswith("make: ***")
    assert made.returncode
    assert not (tmp_path / ".venv/.runtime").exists()
    assert "\n## Without network\n" in (ROOT / "docs/install.md").read_text()


@pytest.mark.parametrize("said", [[NO_PACKAGE], [NO_SPACE], [NOT_TRUSTED, NO_PACKAGE]])
def test_any_other_error_of_pip_is_shown_unchanged(tmp_path: Path, said: list[str]) -> None:
    made = make(tmp_path, said, status=1)
    *shown, end = made.stderr.splitlines()
    assert shown == said
    assert end.startswith("make: ***")
    assert made.returncode


def test_warnings_of_a_successful_pip_are_shown(tmp_path: Path) -> None:
    made = make(tmp_path, [NO_NAME], status=0)
    assert made.stderr.splitlines() == [NO_NAME, NO_NAME], "of the requirements, and of the project"
    assert not made.returncode
    assert (tmp_path / ".venv/.runtime").exists()
    assert not list((tmp_path / ".venv").glob("*.said"))
