"""The messages in docs/troubleshooting.md are those of the source."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

ROW = re.compile(r"^\| `([^`]+)` \|", re.MULTILINE)
JOIN = re.compile(r"[\"']\s*\n\s*f?[\"']")
"""Between two parts of one text in Python."""

MESSAGES = ROW.findall((ROOT / "docs/troubleshooting.md").read_text())


@pytest.fixture(scope="module")
def source() -> str:
    packages = ("facesearch", "gateway", "shared", "worker")
    files = [path for package in packages for path in sorted((ROOT / package).rglob("*.py"))]
    # The document of the API has examples with what the source joins from constants.
    texts = [path.read_text() for path in (*files, ROOT / "Makefile", ROOT / "docs/openapi.json")]
    return JOIN.sub("", "\n".join(texts)).replace("\\\n", "").replace("' '", " ")


def test_there_are_thirty() -> None:
    assert len(MESSAGES) >= 30
    assert len(set(MESSAGES)) == len(MESSAGES)


@pytest.mark.parametrize("message", MESSAGES)
def test_a_message_is_one_of_the_source(source: str, message: str) -> None:
    parts = [part.strip() for part in message.split("…")]
    for part in filter(None, parts):
        assert part in source
    assert max(map(len, parts)) >= 8, "enough to be found by"
