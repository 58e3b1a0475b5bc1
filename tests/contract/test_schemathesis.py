"""Schemathesis reads the OpenAPI document of the service, and sends requests that it allows and that it forbids.

It runs in a process of its own, since it replaces the way in which hypothesis shows a failing example for all other
tests of its process. Its pytest plugin, which does the same, is disabled in pyproject.toml.
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
"""These expect 4xx for malformed and 2xx for well-formed requests; here the status says it, see the hooks."""

EXAMPLES = 300
"""The most for each call, besides the document's own and the bounds of every parameter."""


def test_the_service_conforms_to_its_openapi_document(service: Service, tmp_path: Path) -> None:
    _, keys = new_tenant(service.broker, schemathesis={})
    ran = subprocess.run(
        [
            *(Path(sys.executable).parent / "schemathesis", "run", f"{service.address}/openapi.json"),
            *("--header", f"X-API-Key: {keys['schemathesis']}", "--exclude-checks", EXCLUDED),
            *("--max-examples", str(EXAMPLES), "--generation-deterministic", "--workers", "1", "--no-color"),
            # Of a path that is answered with 404 only: nobody can guess the id of a job.
            *("--warnings", "off"),
        ],
        cwd=tmp_path,
        env={
            **os.environ,
            "SCHEMATHESIS_HOOKS": str(HERE / "schemathesis_hooks.py"),
            "PYTHONPATH": os.pathsep.join(map(str, (HERE.parent, HERE.parents[1]))),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout
    assert "No issues found" in ran.stdout, ran.stdout
