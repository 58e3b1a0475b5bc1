"""The blocks of docs/quick-start.md, pasted in their order, get the answers that the page shows."""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.pasted import run_in_shell, shape
from portraits import astronaut_png, hopper_jpeg
from service import Service

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", (ROOT / "docs/quick-start.md").read_text(), re.DOTALL | re.MULTILINE)
ADDRESS = "http://127.0.0.1:8000\n"

STARTING = ("make up\n", "docker compose ")
"""Beginnings of the blocks that start and stop services, which the shared one stands for."""

FACEDB, KEYS = "trial", {"trial", "door"}


@pytest.fixture
def variables(service: Service) -> dict[str, str]:
    """What leads commands to the shared service instead of that of the home directory."""
    return {"REDIS_URL": service.broker, "FACESEARCH_DATA_DIR": str(service.folder), "PYTHONPATH": str(ROOT)}


@pytest.fixture
def folder(tmp_path: Path, variables: dict[str, str]) -> Iterator[Path]:
    """The folder of a reader who has run `make up` in it, with the samples that `make samples` fetches. What the page
    makes in the shared service is removed afterwards.
    """
    (tmp_path / "samples").mkdir()
    (tmp_path / "samples/grace.jpg").write_bytes(hopper_jpeg())
    (tmp_path / "samples/eileen.png").write_bytes(astronaut_png())
    (tmp_path / "Makefile").symlink_to(ROOT / "Makefile")
    (tmp_path / ".venv").symlink_to(sys.prefix)
    yield tmp_path

    def facesearch(arguments: str) -> str:
        return run_in_shell(f".venv/bin/facesearch {arguments}", tmp_path, **variables)

    for key in json.loads(facesearch("keys list --json")):
        if key["name"] in KEYS:
            facesearch(f"keys revoke {key['id']}")
    if FACEDB in {facedb["name"] for facedb in json.loads(facesearch("facedbs list --json"))}:
        facesearch(f"facedbs drop {FACEDB} --yes")


def test_the_blocks_get_the_answers_that_the_page_shows(
    service: Service, folder: Path, variables: dict[str, str]
) -> None:
    pasted = [text for language, text in BLOCKS if language == "sh" and not text.startswith(STARTING)]
    shown = "".join(text for language, text in BLOCKS if language in ("json", "text"))
    commands = "".join(pasted)
    assert commands.count(ADDRESS) == 1
    assert len(pasted) == 10
    said = run_in_shell(commands.replace(ADDRESS, f"{service.address}\n"), folder, **variables)
    # `make samples` and the creation of the facedb say something that the page leaves out.
    assert shape("".join(said.partition("added  ")[1:])) == shape(shown)


def test_no_block_to_paste_has_a_comment() -> None:
    """The default shell of macOS takes a pasted comment for arguments."""
    assert not [text for language, text in BLOCKS if language == "sh" and "#" in text]
