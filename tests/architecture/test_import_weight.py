"""Import weight: commands that need neither a model nor a store do not wait for the libraries of these."""

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from facesearch.cli.main import SUMMARIES, main

ROOT = Path(__file__).parents[2]
HEAVY = ("aiohttp", "celery", "cv2", "numpy", "onnx", "onnxruntime", "qdrant_client", "qdrant_edge")

LIGHT_COMMANDS = [
    *("--help", "--version", "settings", "models list"),
    *(f"{name} --help" for name in SUMMARIES),
    # These end for lack of a Redis, after all imports.
    *("keys list", "tenants list", "facedbs list", "usage", "audit"),
]

# Runs each command line in turn.
RUN = f"""
import sys
from click.testing import CliRunner
from facesearch.cli.main import main
loaded = {{}}
for line in {LIGHT_COMMANDS!r}:
    result = CliRunner().invoke(main, line.split())
    assert result.output, line
    for name in {HEAVY!r}:
        if name in sys.modules:
            loaded.setdefault(name, line)
"""


def evaluate(script: str, expression: str) -> object:
    """Run a script in a process of its own, and return the value of an expression, which JSON must have."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "REDIS_URL": "redis://127.0.0.1:9"}
    source = f"{script}\nimport json\nprint(json.dumps({expression}))"
    done = subprocess.run([sys.executable, "-c", source], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_light_commands_load_no_heavy_library() -> None:
    assert evaluate(RUN, "loaded") == {}


def test_the_list_of_commands_imports_no_command() -> None:
    script = "from click.testing import CliRunner; from facesearch.cli.main import main\n"
    script += "assert CliRunner().invoke(main, ['--help']).exit_code == 0"
    modules = evaluate(f"import sys\n{script}", "sorted(sys.modules)")
    assert set(modules).isdisjoint(f"facesearch.cli.{name}" for name in SUMMARIES)


@pytest.mark.parametrize("name", SUMMARIES)
def test_summaries_in_the_list_of_commands_are_those_of_the_commands(name: str) -> None:
    command = main.get_command(click.Context(main), name)
    assert command is not None
    assert command.get_short_help_str(1000) == SUMMARIES[name]


@pytest.mark.parametrize("module", ["worker.store.base", "worker.store.opening", "worker.store.faces_file"])
def test_the_interface_of_stores_loads_neither_libraries_of_models_nor_an_engine(module: str) -> None:
    loaded = evaluate(f"import sys, {module}", f"[name for name in {HEAVY!r} if name in sys.modules]")
    assert loaded == ["numpy"]


@pytest.mark.parametrize("module", ["facesearch.cli.doctor", "facesearch.diagnosis.refused_facedbs"])
def test_the_diagnosis_loads_no_metrics(module: str) -> None:
    metrics = ["prometheus_client", "worker.metrics"]
    assert evaluate(f"import sys, {module}", f"[name for name in {metrics!r} if name in sys.modules]") == []


@pytest.mark.parametrize(
    ("settings", "engines"),
    [
        ({"store": "memory"}, []),
        ({"store": "edge"}, ["qdrant_edge"]),
        ({"qdrant_url": "http://127.0.0.1:9"}, ["qdrant_client"]),
    ],
    ids=["memory", "edge", "qdrant"],
)
def test_a_store_loads_only_its_own_engine(settings: dict[str, str], engines: list[str]) -> None:
    script = "import sys; from shared.settings import Settings; from worker.store.opening import backend\n"
    script += f"backend(Settings(**{settings!r}))"
    engine_names = [name for name in HEAVY if name.startswith("qdrant")]
    assert evaluate(script, f"[name for name in {engine_names!r} if name in sys.modules]") == engines
