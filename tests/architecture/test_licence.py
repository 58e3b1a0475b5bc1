"""The project's licence is in the tree, in the metadata of the package and in the image."""

import hashlib
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]

APACHE_2 = "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"
"""SHA-256 of the licence as its authors publish it."""


def test_the_licence_is_the_whole_standard_text() -> None:
    assert hashlib.sha256((ROOT / "LICENSE").read_bytes()).hexdigest() == APACHE_2


def test_the_package_names_and_carries_the_licence() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["license"] == "Apache-2.0"
    assert project["license-files"] == ["LICENSE"]


def test_the_image_is_built_with_the_licence() -> None:
    """Building the wheel fails where a file of license-files is missing."""
    (copied,) = (line for line in (ROOT / "deploy/Dockerfile").read_text().splitlines() if "pyproject.toml" in line)
    assert copied.split()[1:-1] == ["pyproject.toml", "LICENSE", "README.md"]
    assert "!LICENSE" in (ROOT / ".dockerignore").read_text().splitlines()
