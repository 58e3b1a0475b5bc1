"""Validators that are programs: run, and heard."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from check.result import one_line


def installed(name: str) -> Path:
    """The program of a package in this environment, whether or not that is on PATH."""
    return Path(sys.executable).parent / name


def complaint(command: Sequence[str | Path]) -> str:
    """What a validator says when it refuses, as one line; "" when it does not."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 -- ours, with our files
    if done.returncode == 0:
        return ""
    return one_line(done.stdout + done.stderr) or f"{Path(command[0]).name} ends with {done.returncode}"
