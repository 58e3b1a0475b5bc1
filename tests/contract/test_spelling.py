"""Documents and texts are spelled as in Britain.

The checker knows usual mistakes and American forms, no dictionary: where letters of 868 words of the documents were
dropped, doubled or swapped by chance, it found 30 %.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from contract.commands import cli
from documents import DOCUMENTS, ROOT
from facesearch.cli.main import main

TYPOS = shutil.which("typos", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
PLACES = (
    "docs/*.json",
    "deploy/helm/facesearch/values.yaml",
    "deploy/prometheus/alerts.yml",
    "docker-compose.yml",
    "gateway/pages/console/en.json",
)
pytestmark = pytest.mark.skipif(TYPOS is None, reason="there is no typos; `make lint` installs it")


def misspelled(*files: Path) -> list[str]:
    command = [TYPOS, "--config", ROOT / "pyproject.toml", "--format", "brief", *files]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode in (0, 2), checked.stderr
    return checked.stdout.splitlines()


def helps() -> Iterator[str]:
    """Yield the help of `facesearch` and of all its commands."""
    for path, command in (((), main), *cli.commands()):
        yield command.get_help(click.Context(command, info_name=" ".join(("facesearch", *path))))


def test_documents_and_texts_are_spelled_right() -> None:
    files = [*DOCUMENTS, *(path for place in PLACES for path in sorted(ROOT.glob(place)))]
    assert len(files) > 70
    assert misspelled(*files) == []


def test_the_help_of_commands_is_spelled_right(tmp_path: Path) -> None:
    text = tmp_path / "help.txt"
    text.write_text("\n".join(helps()))
    assert text.read_text().count("Usage: ") > 20
    assert misspelled(text) == []


def test_mistakes_and_american_forms_are_found(tmp_path: Path) -> None:
    text = tmp_path / "text.md"
    text.write_text("We recieve the color of `recieve`.\n\n```sh\nrecieve\n```\n")
    assert len(misspelled(text)) == 2
