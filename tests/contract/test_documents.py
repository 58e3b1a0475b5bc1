"""The documents show what the service does."""

import re
import sys
import tomllib
import uuid
from pathlib import Path

import pytest
import skimage

from contract.commands import cli
from contract.pasted import run_in_shell, shape
from contract.tenants import new_tenant
from facesearch.cli.settings import table
from portraits import astronaut_png, hopper_jpeg
from service import Service
from shared.contract import MESSAGES

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def blocks(title: str) -> list[tuple[str, str]]:
    """Return the blocks of code of a section of the README: language and text."""
    (section,) = re.findall(rf"^## {title}\n(.*?)^## ", README, re.DOTALL | re.MULTILINE)
    return re.findall(r"^```(\w+)\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)


@pytest.fixture
def folder(service: Service, tmp_path: Path) -> Path:
    """The folder of a reader who has followed the README up to the calls; it is the home directory, too."""
    _, keys = new_tenant(service.broker, pasted={})
    (tmp_path / "samples").mkdir()
    (tmp_path / "samples/grace.jpg").write_bytes(hopper_jpeg())
    (tmp_path / "samples/eileen.png").write_bytes(astronaut_png())
    (tmp_path / "Makefile").symlink_to(ROOT / "Makefile")
    (tmp_path / ".venv").symlink_to(sys.prefix)
    home = tmp_path / ".local/share/facesearch"
    home.mkdir(parents=True)
    (home / "api-key").write_text(keys["pasted"])
    return tmp_path


def test_the_readmes_calls_pasted_in_order_get_the_answers_that_it_shows(service: Service, folder: Path) -> None:
    calls = blocks("The calls")
    commands = "".join(text for language, text in calls if language == "sh")
    answers = "".join(text for language, text in calls if language == "json")
    assert commands.count("curl ") == answers.count("\n") == 3
    assert commands.count("http://127.0.0.1:8000\n") == 1
    output = run_in_shell(commands.replace("http://127.0.0.1:8000\n", f"{service.address}\n"), folder)
    assert shape(output.partition("{")[1] + output.partition("{")[2]) == shape(answers)


def test_the_packages_of_the_samples_have_them_where_the_makefile_expects_them() -> None:
    """`make samples` itself needs a network."""
    recipe = (ROOT / "Makefile").read_text().partition("\nsamples/grace.jpg:")[2]
    shipped = re.findall(r"mv samples/packages/(\S+) samples/\S+", recipe)
    assert [Path(path).name for path in shipped] == ["astronaut.png", "grace_hopper.jpg"]
    for path in shipped:
        assert (Path(skimage.__file__).parents[1] / path).is_file()


def test_the_readmes_commands_exist_and_are_on_the_path_that_it_sets(folder: Path) -> None:
    (path,) = (text for language, text in blocks("More commands") if language == "sh")
    assert run_in_shell(f"{path}\nfacesearch --version", folder).startswith("facesearch, version ")
    commands = re.findall(r"^\| `facesearch (.*?)` \|", README, re.MULTILINE)
    assert len(commands) == 15
    for command in commands:
        cli.check(command.split(), whole=True)


def test_no_block_to_paste_has_a_comment() -> None:
    """The default shell of macOS takes a pasted comment for arguments."""
    for language, text in re.findall(r"^```(\w+)\n(.*?)^```$", README, re.DOTALL | re.MULTILINE):
        assert language in ("sh", "json")
        assert language != "sh" or "#" not in text


def test_the_readme_says_how_the_last_run_of_faults_ended() -> None:
    (path,) = (ROOT / "docs").rglob("fault-figures.md")
    rows, lost, doubled = re.search(
        r"^faults: rows=(\d+) lost=(\d+) doubled=(\d+)", path.read_text(), re.MULTILINE
    ).groups()
    assert f"**{lost} acknowledged faces lost, {doubled} doubled** in {rows} kinds of faults" in README


def test_the_readme_names_the_file_of_the_api_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    assert "KEY=$(cat ~/.local/share/facesearch/api-key)" in README
    assert "`~/.local/share/facesearch`" in table()


def test_the_document_of_settings_is_up_to_date(monkeypatch: pytest.MonkeyPatch) -> None:
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
    made = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras, groups = made["project"]["optional-dependencies"], made["dependency-groups"]
    client = tomllib.loads((ROOT / "clients/python/pyproject.toml").read_text())["project"]
    lists = [client["dependencies"], *client["optional-dependencies"].values()]
    lists += [made["project"]["dependencies"], *extras.values(), *groups.values()]
    listed = {re.match(r"[A-Za-z0-9-]+", entry)[0] for entries in lists for entry in entries}
    assert len(listed) > 20
    for package in listed:
        assert re.search(rf"\b{package}\b", reasons), package


def test_ids_in_the_examples_of_the_contract_are_uuids() -> None:
    for text in re.findall(r'"person_id": "([^"]*)"', (ROOT / "docs/contract.md").read_text() + README):
        assert str(uuid.UUID(text)) == text
