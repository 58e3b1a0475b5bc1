"""docs/index.md leads to every document, in the order in which they are to be read."""

import re
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
LINKED = re.findall(r"\]\((.+\.md)\)", (DOCS / "index.md").read_text())
DOCUMENTS = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}


def test_every_document_is_in_docs_index_md_once() -> None:
    # The navigation of the site lists decisions by their numbers.
    expected = {path for path in DOCUMENTS if not path.startswith("decisions/0")} - {"index.md"}
    assert sorted(path for path in LINKED if not path.startswith("../")) == sorted(expected)


def test_documents_beside_the_program_are_in_docs_index_md() -> None:
    places = ("*.md", "clients/**/*.md", "deploy/**/*.md")
    expected = {f"../{path.relative_to(DOCS.parent)}" for place in places for path in DOCS.parent.glob(place)}
    assert sorted(path for path in LINKED if path.startswith("../")) == sorted(expected)
