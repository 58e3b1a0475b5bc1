"""Dockerfiles, by hadolint."""

from collections.abc import Iterator
from pathlib import Path

from check.result import Result
from check.tools import complaint, installed


def check(root: Path) -> Iterator[Result]:
    for folder in ("deploy", "tests/containers"):
        for path in sorted((root / folder).rglob("*Dockerfile*")):
            if not path.name.endswith(".dockerignore"):
                yield Result(path, complaint([installed("hadolint"), "--no-color", path]))
