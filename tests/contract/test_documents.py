"""What the documents show is what happens."""

import os
import re
import subprocess
import uuid
from pathlib import Path

import pytest

from facesearch.reference import table
from portraits import astronaut_png, darken, hopper_jpeg, jpeg, pixels, reencode, rotate
from service import Service
from shared.contract import MESSAGES

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"


def shape(text: str) -> str:
    """The text with every id and every fractional confidence or similarity made alike."""
    return re.sub(r'"(confidence|similarity)": \d\d\.\d{1,3}', r'"\1": N', re.sub(UUID, "ID", text))


def examples() -> list[tuple[str, str]]:
    """The README's calls: command and answer."""
    (block,) = re.findall(r"```console\n(.*?)```", README, re.DOTALL)
    return re.findall(r"^\$ (.*curl .*)\n(\{.*\})$", block, re.MULTILINE)


def test_the_readmes_calls_answer_as_it_says(service: Service, tmp_path: Path) -> None:
    (tmp_path / "grace.jpg").write_bytes(hopper_jpeg())
    (tmp_path / "another-photo-of-grace.jpg").write_bytes(reencode(darken(rotate(hopper_jpeg(), 4), 0.7), 60))
    (tmp_path / "eileen.jpg").write_bytes(jpeg(pixels(astronaut_png())))
    environment = {**os.environ, "KEY": service.key, "URL": f"{service.address}/v1"}
    ids: dict[str, str] = {}
    assert len(examples()) == 5
    for command, answer in examples():
        for written, real in ids.items():
            command = command.replace(written, real)  # noqa: PLW2901 -- the README's id is not ours
        said = subprocess.run(
            ["bash", "-c", command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
        ).stdout
        assert shape(said) == shape(answer)
        ids.update(zip(re.findall(UUID, answer), re.findall(UUID, said), strict=True))


def test_the_readme_names_where_the_key_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    assert "KEY=$(cat ~/.local/share/facesearch/api-key)" in README
    assert "`~/.local/share/facesearch`" in table()


def test_every_setting_is_documented_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XDG_DATA_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    document = (ROOT / "docs/settings.md").read_text()
    assert document.endswith(f"\n{table()}\n"), "run: make docs"


def test_every_status_is_documented_with_its_exact_message() -> None:
    document = (ROOT / "docs/contract.md").read_text()
    for status, message in MESSAGES.items():
        assert f"| `{status}` | `{message}` |" in document


def test_every_dependency_has_its_reason() -> None:
    reasons = (ROOT / "docs/dependencies.md").read_text()
    listed = re.findall(r'^  "([a-z0-9-]+)', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert len(listed) > 20
    for package in listed:
        assert re.search(rf"\b{package}\b", reasons), package


def test_links_between_documents_lead_somewhere() -> None:
    for document in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md")):
        for target in re.findall(r"\]\((?!http)([^)#]+)\)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name}: {target}"


def test_examples_in_the_contract_have_ids_that_are_ids() -> None:
    for text in re.findall(r'"person_id": "([^"]*)"', (ROOT / "docs/contract.md").read_text() + README):
        assert str(uuid.UUID(text)) == text
