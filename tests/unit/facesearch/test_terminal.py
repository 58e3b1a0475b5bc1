"""Output of commands fits a terminal of 80 columns; in a script each row is one line."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from facesearch.cli.console import column_widths, print_paragraph, print_table
from facesearch.cli.main import main
from facesearch.cli.settings import listing
from facesearch.embedded import banner

KEYS = (
    ("ID", "NAME", "MAY", "EXPIRES", "RATE", "CONCURRENCY", "CREATED"),
    ("0123456789abcdef", "first", "add, search, delete", "never", "default", "default", "2026-01-31 12:00 UTC"),
    (
        "0123456789abcdef",
        "the-till-of-the-shop",
        "search",
        "2030-01-31 12:00 UTC",
        "0.5",
        "any",
        "2026-01-31 12:00 UTC",
    ),
)
USAGE = (
    ("DAY", "TENANT", "KEY", "CALL", "STATUS", "TARIFF", "REQUESTS"),
    (
        "2026-01-31",
        "a-tenant-of-a-long-name",
        "0123456789abcdef",
        "facecompare",
        "IMAGE_INVALID_FORMAT",
        "charged",
        "7",
    ),
)


def commands(command: click.Command, *path: str) -> Iterator[tuple[str, ...]]:
    yield path
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            yield from commands(command.get_command(context, name), *path, name)


def too_long(text: str) -> list[str]:
    return [line for line in text.splitlines() if len(line) > 80]


@pytest.fixture
def _at_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture
def _in_a_script(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.mark.parametrize("path", [*commands(main)], ids=lambda path: " ".join(path) or "facesearch")
def test_every_help_fits(path: tuple[str, ...]) -> None:
    result = CliRunner().invoke(main, [*path, "--help"], env={"COLUMNS": "80"})
    assert result.exit_code == 0
    assert too_long(result.output) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has such a device")
def test_output_that_cannot_be_written_is_a_line_and_no_traceback() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "facesearch", "settings"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == (
        "facesearch: the output cannot be written: No space left on device; make room, or write it elsewhere\n"
    )


def test_output_that_nobody_reads_ends_the_command_without_a_word() -> None:
    read, written = os.pipe()
    os.close(read)
    with os.fdopen(written, "w") as closed:
        command = [sys.executable, "-m", "facesearch", "settings"]
        done = subprocess.run(command, stdout=closed, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "")


def test_a_file_that_the_system_refuses_is_named(tmp_path: Path) -> None:
    models = tmp_path / ("m" * 300)
    done = CliRunner().invoke(main, ["models", "list"], env={"FACESEARCH_MODELS_DIR": str(models)})
    assert done.exit_code == 1
    assert done.stderr.startswith(f"facesearch: {models}")
    assert "File name too long; mend that, or name another place" in done.stderr


@pytest.mark.parametrize("command", ["models list", "settings"])
def test_lists_of_everything_fit(command: str) -> None:
    env = {"COLUMNS": "80", "FACESEARCH_MODELS_DIR": "models"}
    result = CliRunner().invoke(main, command.split(), env=env)
    assert result.exit_code == 0
    assert too_long(result.output) == []


@pytest.mark.usefixtures("_at_a_terminal")
@pytest.mark.parametrize("table", [KEYS, USAGE], ids=["keys", "usage"])
def test_tables_fit_and_keep_their_text(table: tuple, capsys: pytest.CaptureFixture) -> None:
    print_table(table[0], table[1:])
    output = capsys.readouterr().out
    assert too_long(output) == []
    assert sorted("".join(output.split())) == sorted("".join("".join(row) for row in table).replace(" ", ""))


@pytest.mark.usefixtures("_in_a_script")
def test_each_row_is_a_line_in_a_script(capsys: pytest.CaptureFixture) -> None:
    print_table(KEYS[0], KEYS[1:])
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [row[0] for row in KEYS]


def test_a_table_that_fits_is_unchanged() -> None:
    assert column_widths([("NAME", "LICENCE"), ("a model", "not for sale")], 80) == [7, 12]


def test_words_are_broken_last_and_those_of_the_first_column_last_of_all() -> None:
    lines = [("ID", "WHAT"), ("0123456789", "a long explanation"), ("0123456789", "unbreakable")]
    assert column_widths(lines, None) == [10, 18]
    assert column_widths(lines, 24) == [10, 12]
    assert column_widths(lines, 20) == [10, 8]
    assert column_widths(lines, 10) == [7, 1]


@pytest.mark.usefixtures("_at_a_terminal")
def test_a_paragraph_fits_and_is_indented(capsys: pytest.CaptureFixture) -> None:
    print_paragraph(f"ok    packages         {'package 1.2.3, ' * 8}", 23)
    first, *others = capsys.readouterr().out.splitlines()
    assert len(first) <= 80
    assert others
    assert all(len(line) - len(line.lstrip()) == 23 and len(line) <= 80 for line in others)


def test_the_banner_fits_with_a_common_home_folder() -> None:
    folder = Path("/home/somebody/.local/share/facesearch")
    admin = ("http://127.0.0.1:8001", str(folder / "admin-key"))
    for file, shown, valid in (
        (folder / "api-key", "k" * 32, True),
        (folder / "api-key", None, True),
        (None, None, False),
    ):
        text = banner.render("http://127.0.0.1:8000", file, *admin, folder, shown, valid=valid, console=True)
        assert too_long(text) == []


def test_the_banner_shows_a_key_only_on_request() -> None:
    folder = Path("/a folder")
    texts = [
        banner.render("a", file, "b", "c", folder, shown, valid=valid, console=not shown)
        for file, shown, valid in (
            (folder / "api-key", "the-key", True),
            (folder / "api-key", None, True),
            (None, None, True),
            (None, None, False),
        )
    ]
    assert "API key   the-key\n            shown this once; it is kept in\n            /a folder/api-key\n" in texts[0]
    assert "API key   in /a folder/api-key\n" in texts[1]
    assert all("KEY=$(cat '/a folder/api-key')\n" in one for one in texts[:2])
    assert "API key   in FACESEARCH_API_KEY\n" in texts[2]
    assert ["  console   a/console\n" in one for one in texts] == [False, True, True, True]
    assert "API key   revoked; make another with: facesearch keys create --name NAME\n" in texts[3]
    assert all("KEY='YOUR KEY'\n" in one for one in texts[2:])


def test_a_setting_without_a_default_is_listed_as_empty() -> None:
    assert listing(80).startswith("REDIS_URL=\n    Redis or Valkey ")
    assert "\n\nFACESEARCH_PORT=8000\n    Port to listen on" in listing(80)


def test_the_help_of_make_fits() -> None:
    output = subprocess.run(
        ["make", "help"], cwd=Path(__file__).parents[3], capture_output=True, text=True, check=True
    ).stdout
    assert "  make up " in output
    assert too_long(output) == []
