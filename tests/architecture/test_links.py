"""Links between documents lead to files and headings, and so do mentions of documents in code, texts and configuration.

Other hosts cannot be asked here: of links to them only the form is checked.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from documents import DOCUMENTS, ROOT, anchors, headings, without_code

LINK = re.compile(r"""\]\(\s*<?([^)\s>]*)>?(?:\s+"[^"]*")?\s*\)|<(?:a|img)\b[^>]*?\b(?:href|src)=["']([^"']*)["']""")
MENTION = re.compile(r"(?<![\w/.(-])((?:docs|deploy|clients)/[\w./-]+\.md)(?:#([\w-]+))?")
HEADING = re.compile(
    r"""["“]([^"”]+)["”] in (?P<a>docs/[\w./-]+\.md)"""
    r"""|see (Facesearch\w+) in (?P<b>docs/[\w./-]+\.md)"""
    r"""|(?P<c>docs/[\w./-]+\.md)(?:,| says under| under) ([A-Z].{0,80})"""
)
TOPS = ("bench", "clients", "deploy", "docs", "facesearch", "gateway", "shared", "tests", "worker")
KINDS = {".css", ".html", ".js", ".json", ".lua", ".md", ".py", ".sh", ".toml", ".tpl", ".txt", ".yaml", ".yml"}


def links(document: Path) -> list[str]:
    return [first or second for first, second in LINK.findall(without_code(document.read_text()))]


def texts() -> Iterator[Path]:
    """Yield every file that may mention a document. The changelog also names documents of former versions."""
    yield from (path for path in ROOT.glob("[!.]*") if path.is_file() and path.suffix in {*KINDS, ""})
    yield ROOT / "deploy/Dockerfile"
    for top in TOPS:
        for folder, below, names in os.walk(ROOT / top):
            below[:] = [name for name in below if not name.startswith((".", "__"))]
            yield from (Path(folder) / name for name in names if Path(name).suffix in KINDS)


TEXTS = sorted(path for path in set(texts()) - {ROOT / "CHANGELOG.md", Path(__file__)} if path.is_file())


def joined(text: str) -> str:
    """Join lines of comments, and pieces of text that follow each other in code."""
    return re.sub(r"""['"]?\s*\\?\n\s*(?:#|//|\*)?\s*f?['"]?""", " ", text)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_between_documents_lead_to_files_and_headings(document: Path) -> None:
    for link in links(document):
        target, _, anchor = link.partition("#")
        if urlsplit(link).scheme:
            continue
        path = document.parent / target if target else document
        assert path.exists(), link
        assert not anchor or anchor in anchors(path), link


def test_links_are_written_one_way() -> None:
    """What refers to a link at the end of a document is not seen by the other tests, nor by a reader of its source."""
    for document in DOCUMENTS:
        assert not re.search(r"^ *\[[^\]]+\]: ", without_code(document.read_text()), re.MULTILINE), document


def test_links_to_other_hosts_are_addresses_with_https() -> None:
    foreign = [(document, link) for document in DOCUMENTS for link in links(document) if urlsplit(link).scheme]
    assert foreign
    for document, link in foreign:
        address = urlsplit(link)
        assert address.scheme == "https", (document, link)
        assert re.fullmatch(r"(?:[a-z0-9-]+\.)+[a-z]{2,}", address.netloc), (document, link)


def test_documents_that_are_mentioned_anywhere_exist_with_the_heading_named() -> None:
    found = 0
    for path in TEXTS:
        for target, anchor in MENTION.findall(path.read_text()):
            found += 1
            assert (ROOT / target).is_file(), f"{path.relative_to(ROOT)}: {target}"
            assert not anchor or anchor in anchors(ROOT / target), f"{path.relative_to(ROOT)}: {target}#{anchor}"
    assert found > 100


def test_headings_that_are_mentioned_by_their_words_exist() -> None:
    found = 0
    for path in TEXTS:
        for mention in HEADING.finditer(joined(path.read_text())):
            found += 1
            target = mention["a"] or mention["b"] or mention["c"]
            said = mention[1] or mention[3] or mention[6]
            assert any(said.startswith(title) for title in headings(ROOT / target)), f"{path}: {mention[0]}"
    assert found >= 5
