"""The import rules of the tree: import-linter's contracts in pyproject.toml, and rules that it cannot express."""

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[2]
OPTIONS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
PROTECTED = [contract for contract in OPTIONS["contracts"] if contract["type"] == "protected"]


def sources() -> Iterator[Path]:
    for package in OPTIONS["root_packages"]:
        yield from (ROOT / package).rglob("*.py")


def test_all_contracts_are_kept() -> None:
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache", "--no-logo"]
    linted = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert linted.returncode == 0, linted.stdout


def test_the_document_shows_the_rooms_as_the_contracts_order_them() -> None:
    document = (ROOT / "docs/architecture.md").read_text()
    for contract in OPTIONS["contracts"]:
        if contract["type"] == "layers" and "containers" in contract:
            (package,) = contract["containers"]
            layers = [
                [name for name in layer.split(" | ") if (ROOT / package / name).is_dir()]
                for layer in contract["layers"]
            ]
            rooms = " → ".join(", ".join(f"`{name}`" for name in layer) for layer in layers if layer)
            assert f"| `{package}` | {rooms} |\n" in document


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph(*OPTIONS["root_packages"], include_external_packages=True, cache_dir=None)


@pytest.mark.parametrize("contract", PROTECTED, ids=lambda contract: contract["name"])
def test_every_protected_library_is_imported(contract: dict[str, list[str]], graph: grimp.ImportGraph) -> None:
    """import-linter reports neither a library without importers nor an importer that does not need its permission."""
    importers = {library: graph.find_modules_that_directly_import(library) for library in contract["protected_modules"]}
    assert all(importers.values()), "a rule for a library that no module imports"
    for allowed in contract["allowed_importers"]:
        inside = {allowed, *graph.find_descendants(allowed)}
        assert any(inside & modules for modules in importers.values()), f"{allowed} imports none of them"


def test_imports_are_absolute() -> None:
    for source in sources():
        for node in ast.walk(ast.parse(source.read_text())):
            assert not isinstance(node, ast.ImportFrom) or node.level == 0, f"{source}:{node.lineno} is relative"


def test_nothing_reads_the_environment_at_import() -> None:
    for source in sources():
        tree = ast.parse(source.read_text())
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                continue
            for part in ast.walk(node):
                is_environment = isinstance(part, ast.Attribute) and part.attr in ("environ", "getenv")
                assert not is_environment, f"{source}:{part.lineno} reads the environment at import"
