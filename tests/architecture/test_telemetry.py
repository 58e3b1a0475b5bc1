"""No library or server reports its use to its maker: reporting is disabled before the library is imported."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from shared.observability import telemetry

ROOT = Path(__file__).parents[2]
FOLDERS = ("bench", "deploy", "facesearch", "gateway", "shared", "tests", "worker")
SEAM = "worker/vision/session.py"


def sources() -> Iterator[Path]:
    for folder in FOLDERS:
        yield from (ROOT / folder).rglob("*.py")


def imports(node: ast.AST) -> bool:
    """Return whether a node imports ONNX Runtime, by statement or by name."""
    match node:
        case ast.Import(names=names):
            return any(alias.name.partition(".")[0] == "onnxruntime" for alias in names)
        case ast.ImportFrom(module=module):
            return (module or "").partition(".")[0] == "onnxruntime"
        case ast.Call(args=[ast.Constant(value=str(name)), *_]):
            called = ast.unparse(node.func).rpartition(".")[2]
            return called in {"import_module", "__import__", "importorskip"} and name.startswith("onnxruntime")
    return False


def test_only_the_session_module_imports_onnx_runtime() -> None:
    found = {
        path.relative_to(ROOT).as_posix()
        for path in sources()
        if any(imports(node) for node in ast.walk(ast.parse(path.read_text())))
    }
    assert found == {SEAM}, f"use `from worker.vision.session import onnxruntime` in {found - {SEAM}}"


def test_the_session_module_disables_telemetry_before_the_import() -> None:
    lines = [ast.unparse(node) for node in ast.parse((ROOT / SEAM).read_text()).body]
    assert lines.index("telemetry.refuse()") < lines.index("import onnxruntime")


@pytest.mark.parametrize("before", ["", "0"])
def test_telemetry_is_disabled_whatever_the_environment_says(before: str) -> None:
    code = "from worker.vision.session import onnxruntime; import os; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "ORT_DISABLE_TELEMETRY": before},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "1\n"


def test_the_module_that_disables_telemetry_imports_only_the_standard_library() -> None:
    tree = ast.parse((ROOT / "shared/observability/telemetry.py").read_text())
    modules = {
        alias.name if isinstance(node, ast.Import) else str(node.module)
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    assert {module.partition(".")[0] for module in modules} <= sys.stdlib_module_names


@pytest.mark.parametrize(("variable", "value"), telemetry.REFUSALS.items())
def test_images_compose_and_chart_disable_telemetry(variable: str, value: str) -> None:
    dockerfile = (ROOT / "deploy/Dockerfile").read_text()
    runtime = dockerfile.partition(" AS runtime\n")[2].partition("\nFROM ")[0]
    assert re.search(rf"^(?:ENV)? +{variable}={value}\b", runtime, re.MULTILINE), "gateway and worker are made of this"
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    for name in ("gateway", "worker"):
        assert services[name]["environment"][variable] == value
    config = (ROOT / "deploy/helm/facesearch/templates/config.yaml").read_text()
    assert f'\n  {variable}: "{value}"' in config


def test_the_reports_of_qdrant_and_grafana_are_disabled() -> None:
    """Both report their use unless it is disabled."""
    base = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    assert base["qdrant"]["environment"]["QDRANT__TELEMETRY_DISABLED"] == "true"
    watching = yaml.safe_load((ROOT / "deploy/compose.observability.yml").read_text())["services"]
    for variable in ("REPORTING_ENABLED", "CHECK_FOR_UPDATES", "CHECK_FOR_PLUGIN_UPDATES"):
        assert watching["grafana"]["environment"][f"GF_ANALYTICS_{variable}"] == "false"
    chart = (ROOT / "deploy/helm/facesearch/templates/servers/qdrant.yaml").read_text()
    assert '{ name: QDRANT__TELEMETRY_DISABLED, value: "true" }' in chart
