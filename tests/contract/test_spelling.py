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

from facesearch.cli.main import main

ROOT = Path(__file__).parents[2]
TYPOS = shutil.which("typos", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
PLACES = (
    "*.md",
    "docs/**/*.md",
    "docs/*.json",
    "clients/**/*.md",
    "deploy/**/*.md",
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


def helps(command: click.Command, context: click.Context) -> Iterator[str]:
    """Yield the help of a command and of all below it."""
    yield command.get_help(context)
    for name in command.list_commands(context) if isinstance(command, click.Group) else ():
        below = command.get_command(context, name)
        assert below is not None
        yield from helps(below, click.Context(below, parent=context, info_name=name))


def test_documents_and_texts_are_spelled_right() -> None:
    files = [path for place in PLACES for path in sorted(ROOT.glob(place))]
    assert len(files) > 70
    assert misspelled(*files) == []


def test_the_help_of_commands_is_spelled_right(tmp_path: Path) -> None:
    text = tmp_path / "help.txt"
    text.write_text("\n".join(helps(main, click.Context(main, info_name="facesearch"))))
    assert text.read_text().count("Usage: ") > 20
    assert misspelled(text) == []


def test_mistakes_and_american_forms_are_found(tmp_path: Path) -> None:
    text = tmp_path / "text.md"
    text.write_text("We recieve the color of `recieve`.\n\n```sh\nrecieve\n```\n")
    assert len(misspelled(text)) == 2
