"""Commands of documents as a reader pastes them, and what is the same in the answers of each run."""

import os
import re
import subprocess
from pathlib import Path

CHANGING = {
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}": "ID",
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z": "TIME",
    r"[\d.]+ photos a second": "N photos a second",
    r'"(confidence|similarity)": \d\d\.\d{1,3}': r'"\1": N',
}
"""Patterns of what differs in each run, and what is put in its place."""


def shape(text: str) -> str:
    """Replace every id, time, rate, and fractional confidence or similarity, by a placeholder."""
    for pattern, placeholder in CHANGING.items():
        text = re.sub(pattern, placeholder, text)
    return text


def run_in_shell(command: str, folder: Path, **variables: str) -> str:
    """Return what a shell prints. folder: where it runs, and its home directory."""
    return subprocess.run(
        ["bash", "-ec", command],
        cwd=folder,
        env={"HOME": str(folder), "PATH": os.environ["PATH"], **variables},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
