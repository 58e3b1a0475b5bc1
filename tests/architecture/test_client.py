"""The Python client is a package of its own: it shares nothing with the service but the contract."""

import ast
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.calls import CALLS, Call

ROOT = Path(__file__).parents[2]
CLIENT = ROOT / "clients/python"
SERVICE = ("facesearch", "gateway", "shared", "worker")


def imported(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield the modules of a folder with each package that one imports, also inside functions."""
    for source in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(source.read_text())):
            if isinstance(node, ast.Import):
                yield from ((source.name, alias.name.partition(".")[0]) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{source}:{node.lineno} is relative"
                yield source.name, (node.module or "").partition(".")[0]


def test_the_client_imports_httpx_and_in_one_module_pillow() -> None:
    others = {
        each for each in imported(CLIENT / "src") if each[1] not in {*sys.stdlib_module_names, "facesearch_client"}
    }
    assert {package for _, package in others} == {"httpx", "PIL", "typing_extensions"}
    assert {module for module, package in others if package == "PIL"} == {"pillow.py"}
    # For type checkers only, which have it built in.
    assert {module for module, package in others if package == "typing_extensions"} == {"client.py", "async_client.py"}


@pytest.mark.parametrize("module", ["client", "async_client"])
@pytest.mark.parametrize("call", CALLS, ids=str)
def test_the_client_has_every_call_with_every_parameter(call: Call, module: str) -> None:
    source = CLIENT / f"src/facesearch_client/{module}.py"
    methods = [node for node in ast.walk(ast.parse(source.read_text())) if getattr(node, "name", "") == call.name]
    assert methods, f"{call} is missing in {source}"
    texts = {name for name in call.parameters.model_fields if name not in call.image_parameters}
    taken = {each.arg for method in methods for each in (*method.args.args, *method.args.kwonlyargs)}
    assert texts <= taken, f"{call} does not take {texts - taken} in {source}"


@pytest.mark.parametrize("package", SERVICE)
def test_the_service_does_not_import_the_client(package: str) -> None:
    assert "facesearch_client" not in {name for _, name in imported(ROOT / package)}


def test_the_unit_tests_of_the_client_need_no_service() -> None:
    assert not {*SERVICE, "service"} & {name for _, name in imported(CLIENT / "tests")}


def test_the_package_says_what_it_needs_and_carries_types_and_licence() -> None:
    project = tomllib.loads((CLIENT / "pyproject.toml").read_text())["project"]
    ours = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["dependencies"] == ["httpx>=0.27"]
    assert project["license"] == ours["project"]["license"]
    assert (CLIENT / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
    assert (CLIENT / "src/facesearch_client/py.typed").exists()
    built_with = tomllib.loads((CLIENT / "pyproject.toml").read_text())["build-system"]
    assert built_with == ours["build-system"], "the version that is pinned with its hash"


def test_neither_images_nor_the_wheel_of_the_service_carry_it() -> None:
    sent = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in sent
    assert not [line for line in sent if line.startswith("!") and "client" in line]
    ours = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert ours["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == list(SERVICE)
