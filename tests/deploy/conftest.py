"""Fixtures for the checks of deploy/, whose validators only `make check-deploy` installs."""

import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest

from deploy_tree import ROOT, Tree


@pytest.fixture(autouse=True)
def validators(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip the test where requirements/deploy.txt is not installed."""
    if find_spec("helm_python") is None or find_spec("kubernetes_validate") is None:
        pytest.skip("the validators are not installed: make check-deploy")
    monkeypatch.syspath_prepend(ROOT / "deploy")


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """An empty tree of deployment files."""
    return Tree(tmp_path)


@pytest.fixture
def chart_folder(tmp_path: Path) -> Path:
    """A copy of the chart without the files that its links lead to, which no value changes."""
    folder = tmp_path / "facesearch"
    shutil.copytree(ROOT / "deploy" / "helm" / "facesearch", folder, ignore=shutil.ignore_patterns("files"))
    return folder
