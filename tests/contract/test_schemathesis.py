"""Schemathesis reads the document that the service serves and asks for what it allows and for what it forbids.

In a process of its own: in ours it would replace how hypothesis shows a failing example, in every other test too. Its
pytest plugin does that, and is switched off in pyproject.toml.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from contract.tenants import new_tenant
from service import Service

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent

EXCLUDED = "negative_data_rejection,positive_data_acceptance"
"""Whether a malformed request gets a 4xx and a well-formed one a 2xx: the status says that here, see the hooks."""

EXAMPLES = 300
"""Of each call at most, besides the document's own and every border of every parameter."""


def test_the_service_does_what_its_document_says(service: Service, tmp_path: Path) -> None:
    _, keys = new_tenant(service.broker, schemathesis={})
    ran = subprocess.run(
        [
            *(Path(sys.executable).parent / "schemathesis", "run", f"{service.address}/openapi.json"),
            *("--header", f"X-API-Key: {keys['schemathesis']}", "--exclude-checks", EXCLUDED),
            *("--max-examples", str(EXAMPLES), "--generation-deterministic", "--workers", "1", "--no-color"),
        ],
        cwd=tmp_path,
        env={**os.environ, "SCHEMATHESIS_HOOKS": str(HERE / "schemathesis_hooks.py"), "PYTHONPATH": str(HERE.parent)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout
    assert "No issues found" in ran.stdout, ran.stdout
