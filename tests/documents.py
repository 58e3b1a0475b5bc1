"""The documents of the tree, and what in them a link may lead to."""

import re
from collections import Counter
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted(
    path for place in ("*.md", "clients/**/*.md", "deploy/**/*.md", "docs/**/*.md") for path in ROOT.glob(place)
)


def without_code(markdown: str) -> str:
    """Blocks of code and code within lines say nothing about links and headings."""
    return re.sub(r"`[^`\n]+`", "", re.sub(r"^( *)```.*?^\1```$", "", markdown, flags=re.DOTALL | re.MULTILINE))


@cache
def headings(document: Path) -> tuple[str, ...]:
    """Return the headings of a document, with code in them."""
    markdown = re.sub(r"^( *)```.*?^\1```$", "", document.read_text(), flags=re.DOTALL | re.MULTILINE)
    return tuple(re.findall(r"^#+ (.*)$", markdown, re.MULTILINE))


@cache
def anchors(document: Path) -> frozenset[str]:
    """Return what may follow # in a link to a document. The second of two equal headings has -1 behind."""
    slugs = [re.sub(r"[^\w -]", "", title).strip().lower().replace(" ", "-") for title in headings(document)]
    repeated = {f"{slug}-{number}" for slug, times in Counter(slugs).items() for number in range(1, times)}
    return frozenset(slugs) | repeated
