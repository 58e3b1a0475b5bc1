"""The documents make a site: without a warning, and with a search that needs no other host."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from documents import DOCUMENTS, ROOT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("sphinx") is None, reason="there is no Sphinx; `make site` installs it"),
]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a site that `make site` would make."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "--fail-on-warning", "--keep-going", "--quiet", "--conf-dir", "docs"]
    made = subprocess.run(
        [*command, "--doctree-dir", folder / "doctrees", ".", folder / "pages"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (made.returncode, made.stderr) == (0, "")
    return folder / "pages"


def test_the_command_of_make_site_is_the_one_tested() -> None:
    recipe = (ROOT / "Makefile").read_text().partition("\nsite:")[2].partition("\n\n")[0]
    assert "-m sphinx --fail-on-warning --keep-going --quiet --conf-dir docs " in recipe


def test_every_document_is_a_page(site: Path) -> None:
    for document in DOCUMENTS:
        assert (site / document.relative_to(ROOT)).with_suffix(".html").is_file(), document


def test_a_reader_finds_messages_and_chinese_words_and_the_pages_ask_no_other_host(site: Path, chromium: Any) -> None:
    page = chromium.new_page()
    found = page.locator("#search-results li a")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto((site / "index.html").as_uri())
    page.wait_for_url("**/docs/index.html")
    page.goto((site / "search.html").as_uri() + "?q=NO_SIMILAR_FACE")
    found.first.wait_for()
    for chinese in ("置信度", "误识率", "图像的保存", "脸"):
        page.goto((site / "search.html").as_uri() + f"?q={chinese}")
        assert found.first.inner_text() == "从托管 API 迁移", chinese
    page.goto((site / "README.html").as_uri())
    page.close()
    assert len(asked) > 10
    assert all(url.startswith(("file:", "data:")) for url in asked), asked
