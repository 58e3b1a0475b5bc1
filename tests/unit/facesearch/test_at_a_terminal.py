"""At a terminal commands have colours, lines of at most 80 columns and progress; in a pipe nothing of it is there."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")

TABLE = """
    from facesearch.cli.console import print_paragraph, print_result, print_table, remark, shown_time
    head = ("ID", "NAME", "EXTERNAL ID", "ADDED", "STATE", "FACES", "METADATA")
    when = shown_time("2026-11-29T05:54:40.782983Z")
    states = ("ready", "not fetched", "revoked 2026-11-29 05:54 UTC", "stopped")
    person = "4fbd9474-e09f-4e7d-9a2f-06fa1167f67e", "Grace"
    rows = [(*person, "", when, state, str(7**n), "") for n, state in enumerate(states)]
    print_table(head, rows)
    print_paragraph("ok    packages " + "package 1.2.3, " * 9, 15, mark="ok", colour="green")
    print_result("wrong: " + "a file that is not there " * 9)
    remark("warning: " + "what was not kept " * 9)
"""
PROGRESS = """
    from facesearch.cli.progress import progress
    with progress(2000, "photos") as shown:
        for _ in range(2000):
            shown.advance()
        shown.say("the service answers again")
        shown.reach(2000)
"""
STAGES = """
    from facesearch.cli import progress
    progress.LINE_EVERY_S = progress.DRAWN_EVERY_S = 0.0
    with progress.stages() as shown:
        for kb in range(0, 37_001, 1000):
            shown.show("kB", kb, 37_000)
        shown.say("preparing the model")
        for total in (2500, None):
            for persons in range(0, 2501, 500):
                shown.show("persons", persons, total)
"""


def script(body: str) -> list[str]:
    """Return a command that runs the body as `facesearch` runs a command."""
    command = """
import click
from facesearch.cli.main import main
@main.command("try")
def tried():
{body}
main.get_command = lambda context, name: tried
main(["try"])
"""
    return [sys.executable, "-c", command.format(body=textwrap.indent(textwrap.dedent(body), "    "))]


def environment(**more: str) -> dict[str, str]:
    kept = {name: text for name, text in os.environ.items() if name not in ("COLUMNS", "NO_COLOR", "FORCE_COLOR")}
    return {**kept, "TERM": "xterm", "PYTHONPATH": str(ROOT), **more}


def at_a_terminal(command: list[str], **more: str) -> str:
    """Return what a command prints on a terminal of 80 columns, to stdout and stderr."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment(**more)) as process:
        os.close(theirs)
        said = b""
        while True:
            try:
                part = os.read(ours, 1 << 16)
            except OSError:  # Linux, once nobody has the other end
                break
            if not part:
                break
            said += part
    os.close(ours)
    assert process.returncode == 0, said
    return said.decode().replace("\r\n", "\n")


def in_a_pipe(command: list[str], **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment(**more))


def too_long(said: str) -> list[str]:
    return [line for line in re.split(r"[\r\n]", ESCAPE.sub("", said)) if len(line) > 80]


def test_a_terminal_gets_colours_and_lines_that_fit() -> None:
    said = at_a_terminal(script(TABLE))
    assert too_long(said) == []
    for text in (
        "\x1b[32mready",
        "\x1b[33mnot",
        "\x1b[31mrevoked",
        "\x1b[32mok\x1b[0m",
        "\x1b[31mwrong:\x1b[0m",
        "\x1b[33mwarning:\x1b[0m",
        "\x1b[1mID",
    ):
        assert text in said


def test_columns_without_text_make_place_and_numbers_are_on_the_right() -> None:
    head, *rows = ESCAPE.sub("", at_a_terminal(script(TABLE))).splitlines()
    assert head.split() == ["ID", "NAME", "ADDED", "STATE", "FACES"]
    end = len(head)
    numbers = [row[:end].split()[-1] for row in rows if row.startswith("4fbd9474") and len(row) == end]
    assert numbers == ["1", "7", "49", "343"]


def test_no_color_leaves_the_lines_as_they_are() -> None:
    coloured, plain = at_a_terminal(script(TABLE)), at_a_terminal(script(TABLE), NO_COLOR="1")
    assert "\x1b" not in plain
    assert plain == ESCAPE.sub("", coloured)


def test_a_pipe_gets_every_column_in_one_line_without_colour() -> None:
    done = in_a_pipe(script(TABLE))
    assert "\x1b" not in done.stdout + done.stderr
    head, *rows = done.stdout.splitlines()
    assert head.split() == ["ID", "NAME", "EXTERNAL", "ID", "ADDED", "STATE", "FACES", "METADATA"]
    assert [row.split()[2] for row in rows[:4]] == ["2026-11-29T05:54:40.782983Z"] * 4
    assert len(rows) == 6


def test_a_terminal_gets_a_bar_that_fits() -> None:
    said = at_a_terminal(script(PROGRESS))
    assert "2000/2000" in said
    assert "\nthe service answers again" in said
    assert too_long(said) == []


def test_a_pipe_gets_no_bar() -> None:
    done = in_a_pipe(script(PROGRESS))
    assert done.stdout == ""
    assert "#" not in done.stderr
    assert "the service answers again\n" in done.stderr


def test_every_stage_of_a_work_has_a_bar_where_its_total_is_known() -> None:
    said = at_a_terminal(script(STAGES))
    assert too_long(said) == []
    assert [said.count(last) for last in ("37000/37000", "2500/2500")] == [1, 1]
    assert said.index("37000/37000") < said.index("\npreparing the model\n") < said.index("2500/2500")
    assert said.rstrip().endswith("2500 persons")


def test_a_pipe_gets_lines_of_every_stage() -> None:
    done = in_a_pipe(script(STAGES))
    assert done.stdout == ""
    assert "\r" not in done.stderr
    lines = done.stderr.splitlines()
    for line in ("37000 of 37000 kB", "preparing the model", "2500 of 2500 persons", "2500 persons"):
        assert line in lines


@pytest.mark.parametrize(("more", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True)])
def test_an_error_begins_in_red(more: dict[str, str], coloured: bool) -> None:
    body = """
    from facesearch.cli.console import reported
    from shared.errors import OperatorError
    @reported
    def failing():
        raise OperatorError("what cannot be done " * 9)
    try:
        failing()
    except SystemExit as end:
        assert end.code == 1
    """
    said = at_a_terminal(script(body), **more)
    assert ("\x1b[31mfacesearch:\x1b[0m" in said) is coloured
    assert too_long(said) == []
