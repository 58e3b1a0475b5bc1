"""Documents name the tree as it is: CONTRIBUTING.md has every package, and no document names a file that is gone."""

import re
from pathlib import Path

import pytest

from documents import DOCUMENTS, ROOT

PACKAGES = ("facesearch", "gateway", "worker", "shared")
TOPS = (*PACKAGES, "bench", "clients", "deploy", "docs", "tests")
CHECKED = [path for path in DOCUMENTS if path.name != "CHANGELOG.md"]  # which also names removed files


def test_the_tree_in_contributing_has_every_package() -> None:
    (tree,) = re.findall(r"^```text\n(.*?)^```$", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL | re.MULTILINE)
    named, package = set(), ""
    for indented, name in re.findall(r"^( *)(\w+)/ ", tree, re.MULTILINE):
        package = package if indented else name
        named.add(f"{package}/{name}" if indented else name)
    subpackages = {
        str(path.parent.relative_to(ROOT)) for package in PACKAGES for path in ROOT.glob(f"{package}/*/__init__.py")
    }
    clients = {str(path.parent.relative_to(ROOT)) for path in ROOT.glob("clients/*/README.md")}
    assert named == {*PACKAGES, *subpackages, "clients", *clients}


@pytest.mark.parametrize("document", CHECKED, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_that_a_document_names_exist(document: Path) -> None:
    for path in re.findall(rf"`((?:{'|'.join(TOPS)})/[\w./-]*)", document.read_text()):
        assert (ROOT / path).exists(), f"{document}: {path}"
