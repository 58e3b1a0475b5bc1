"""The commands and calls in docs/tenants.md and docs/admin-api.md have the results shown there, in their order."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.admin.operations import OPERATIONS
from service import Service
from shared.control import DROP_AFTER_S

pytestmark = pytest.mark.slow

DOCS = Path(__file__).parents[2] / "docs"
DOCUMENT = "".join((DOCS / page).read_text() for page in ("tenants.md", "admin-api.md"))

CHANGING = (
    r"fs_[A-Za-z0-9_-]{32}",
    r"\b[0-9a-f]{12}\b",
    r"(?<=\.)[0-9a-f]{8}\b",
    r"\d{4}-\d\d-\d\dT[\d:]{8}Z",
    r"\d{4}-\d\d-\d\d \d\d:\d\d UTC",
)
"""Values that differ in each run: keys, their ids, collections, times."""


def shape(text: str) -> str:
    return re.sub("|".join(CHANGING), "…", text)


def examples() -> list[tuple[str, str]]:
    """Return commands and their output, except those that only set a variable."""
    blocks = re.findall(r"```console\n(.*?)```", DOCUMENT, re.DOTALL)
    steps = [step for block in blocks for step in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]]
    pairs = [step.strip().partition("\n") for step in steps]
    return [(command, said) for command, _, said in pairs if said]


def test_every_example_has_the_documented_output(service: Service) -> None:
    (admin,) = re.findall(r"^  admin +(\S+)$", "".join(service.said), re.MULTILINE)
    environment = {
        **os.environ,
        **service.settings,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "FACESEARCH_DATA_DIR": str(service.folder),
        "ADMIN": admin,
        "ADMIN_KEY": (service.folder / "admin-key").read_text().strip(),
    }
    ids: dict[str, str] = {}
    assert len(examples()) == 18
    for command, written in examples():
        for shown, real in ids.items():
            command = command.replace(shown, real)  # noqa: PLW2901 -- the document's id is not the real one
        said = subprocess.run(
            ["bash", "-c", f"{command} 2>&1"], env=environment, capture_output=True, text=True, check=True
        ).stdout.strip()
        said = "\n".join(line for line in said.splitlines() if '"event": "audit"' not in line)  # as in a terminal
        assert shape(said) == shape(written)
        ids.update(zip(re.findall(CHANGING[1], written), re.findall(CHANGING[1], said), strict=True))


def test_every_operation_is_listed() -> None:
    for operation in OPERATIONS:
        fields = ", ".join(f"`{name}`" for name in operation.body.model_fields) if operation.body else ""
        row = f"| {operation.method} | `{operation.path}` | {fields} | {operation.summary} |"
        assert row.replace("|  |", "| |") in DOCUMENT


def test_the_delay_is_as_documented() -> None:
    assert f"{DROP_AFTER_S} seconds later" in DOCUMENT
