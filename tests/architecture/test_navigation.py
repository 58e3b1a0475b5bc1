"""docs/index.md leads to every document, in the order in which they are to be read."""

import re

from documents import DOCUMENTS, ROOT

LINKED = re.findall(r"\]\((.+\.md)\)", (ROOT / "docs/index.md").read_text())
PATHS = [path.relative_to(ROOT).as_posix() for path in DOCUMENTS]


def test_every_document_is_in_docs_index_md_once() -> None:
    found = {path.removeprefix("docs/") for path in PATHS if path.startswith("docs/")}
    # The navigation of the site lists decisions by their numbers.
    expected = {path for path in found if not path.startswith("decisions/0")} - {"index.md"}
    assert sorted(path for path in LINKED if not path.startswith("../")) == sorted(expected)


def test_documents_beside_the_program_are_in_docs_index_md() -> None:
    expected = [f"../{path}" for path in PATHS if not path.startswith("docs/")]
    assert sorted(path for path in LINKED if path.startswith("../")) == sorted(expected)
