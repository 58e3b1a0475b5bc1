"""A page of the documents can be read in one go: it has 1,500 words at most, counted as `wc -w` counts."""

import pytest

from documents import DOCUMENTS, ROOT

MOST = 1_500
LONGER = {
    "docs/settings.md": "the table of every setting, generated and looked up",
    "docs/answers.md": "a table of requests, generated, run by a test and looked up",
    "docs/hostile-input-costs.md": "a table of measured inputs, generated",
    "docs/isolation.md": "a table of every attempt, run by a test",
}
"""Pages that may be longer, and why."""

# A decision is a record of its time, and the changelog grows with every version.
PAGES = [
    page
    for page in (str(path.relative_to(ROOT)) for path in DOCUMENTS)
    if page not in LONGER and page != "CHANGELOG.md" and not page.startswith("docs/decisions/")
]


@pytest.mark.parametrize("page", PAGES)
def test_a_page_can_be_read_in_one_go(page: str) -> None:
    words = len((ROOT / page).read_text().split())
    assert words <= MOST, f"{page} has {words} words: split it by what its readers want"


def test_only_long_pages_are_excused() -> None:
    for page in LONGER:
        assert len((ROOT / page).read_text().split()) > MOST, page
