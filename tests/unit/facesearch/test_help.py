"""The help of every command has examples that the command takes, and shells complete commands and options."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

from facesearch.cli.examples import EXAMPLES
from facesearch.cli.main import main


def commands(command: click.Command, *path: str) -> Iterator[tuple[str, click.Command]]:
    """Yield the commands that do something, with their paths."""
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from commands(below, *path, name)
    else:
        yield " ".join(path), command


COMMANDS = dict(commands(main))


def test_every_command_has_examples_and_there_are_no_others() -> None:
    assert COMMANDS.keys() == EXAMPLES.keys()


@pytest.mark.parametrize(
    ("path", "arguments"), [(path, arguments) for path, examples in EXAMPLES.items() for arguments in examples]
)
def test_a_command_takes_its_examples(path: str, arguments: str) -> None:
    command = COMMANDS[path]
    root = main.make_context("facesearch", [], resilient_parsing=True)
    context = click.Context(command, root, info_name=path, resilient_parsing=False)
    # What stands there is parsed, and nothing is looked up: files of examples are not there.
    given, rest, _ = command.make_parser(context).parse_args(shlex.split(arguments, comments=True))
    assert rest == []
    required = {p.name for p in command.params if p.required and not given.get(p.name or "")}
    assert not required


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Return what a command or group prints when it is asked for help."""

    def help_of(path: str, option: str, width: int | None = None) -> str:
        # click keeps the options for help of the first context, which in a run of tests may be one of another test.
        command: click.Command | None = main
        for name in path.split():
            assert isinstance(command, click.Group)
            command = command.get_command(click.Context(command), name)
        monkeypatch.setattr(command, "_help_option", None)
        return CliRunner().invoke(main, [*path.split(), option], terminal_width=width).output

    return help_of


@pytest.mark.parametrize("option", ["-h", "--help"])
@pytest.mark.parametrize("path", sorted(COMMANDS))
def test_help_ends_with_the_examples(path: str, option: str, ask: Callable[..., str]) -> None:
    said = ask(path, option)
    assert "\\" not in said, "an escape of click that was not understood"
    assert said.rstrip().endswith(f"facesearch {path} {EXAMPLES[path][-1]}".rstrip())


@pytest.mark.parametrize("group", ["audit", "facedbs", "keys", "models", "persons", "tenants", "webhooks"])
def test_a_group_lists_whole_sentences(group: str, ask: Callable[..., str]) -> None:
    listed = ask(group, "-h", 80).partition("Commands:")[2]
    assert listed
    assert "..." not in listed


WITHOUT_JSON = {
    **dict.fromkeys(("audit calls", "audit heads"), "prints lines of JSON"),
    **dict.fromkeys(
        ("facedbs default", "facedbs drop", "keys revoke", "persons delete", "tenants drop", "tenants webhook-secret"),
        "changes one thing, and its exit status says whether it did",
    ),
    **dict.fromkeys(
        ("backup", "restore", "export", "import", "models add", "models pull", "calibrate"), "says progress"
    ),
    "erase": "writes a record for the one who wished to be erased",
    "completion": "prints a script",
    "up": "runs until it is ended",
}
"""Commands without --json, and what their output is for."""


def test_every_command_that_answers_a_question_can_answer_it_in_json() -> None:
    without = {
        path for path, command in COMMANDS.items() if "--json" not in {o for p in command.params for o in p.opts}
    }
    assert without == WITHOUT_JSON.keys()


@pytest.mark.parametrize(
    ("command", "fields"),
    [
        ("models list", {"name", "task", "in_use", "ready", "calibration", "commercial", "licence"}),
        ("settings", {"name", "default", "description"}),
        ("doctor --role gateway", {"subject", "well", "needed", "detail"}),
    ],
)
def test_lists_that_need_no_service_are_json_for_scripts(command: str, fields: set[str]) -> None:
    listed = json.loads(CliRunner().invoke(main, [*command.split(), "--json"]).stdout)
    assert {frozenset(each) for each in listed} == {frozenset(fields)}


def completed(*words: str, incomplete: str) -> set[str]:
    """Return what a shell is offered after these words."""
    found = ShellComplete(main, {}, "facesearch", "_FACESEARCH_COMPLETE").get_completions(list(words), incomplete)
    return {item.value for item in found}


def test_commands_and_options_are_completed() -> None:
    assert completed(incomplete="ten") == {"tenants"}
    assert completed("keys", incomplete="c") == {"create"}
    assert "--scope" in completed("keys", "create", incomplete="--")


@pytest.mark.parametrize("shell", ["bash", "fish", "zsh"])
def test_a_script_for_each_shell(shell: str) -> None:
    result = CliRunner().invoke(main, ["completion", shell])
    assert result.exit_code == 0
    assert result.output.startswith("# ")
    assert "_FACESEARCH_COMPLETE" in result.output


def test_names_of_models_are_completed() -> None:
    assert "sface-2021dec-int8bq" in completed("models", "pull", incomplete="sface")
    assert completed("calibrate", "--model", incomplete="yunet") == set(), "it is no embedder"


def test_names_that_cannot_be_had_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACESEARCH_DATA_DIR", str(tmp_path))
    assert completed("keys", "list", "--tenant", incomplete="") == set()


ASKS = {
    "bash": """
        COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
        _facesearch_completion facesearch; printf '%s\\n' "${{COMPREPLY[@]}}"
    """,
    "fish": "complete -C {line}",
    # Outside of its line editor zsh has no completion: what our script tells it is printed.
    "zsh": """
        compadd() {{ print -l -- ${{(P)argv[-1]}} }}
        _describe() {{ print -l -- ${{(P)3}} }}
        words=({words}); CURRENT=${{#words}}; _facesearch_completion
    """,
}
"""How a shell that has read our script is asked what it offers at the end of a line."""


@pytest.mark.parametrize("shell", [*ASKS])
def test_shells_complete_commands_options_and_choices(shell: str, tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    program = tmp_path / "facesearch"
    program.write_text(
        f"#!{sys.executable}\nimport sys\nsys.argv[0] = 'facesearch'\nfrom facesearch.cli.main import main\nmain()\n"
    )
    program.chmod(0o755)
    script = CliRunner().invoke(main, ["completion", shell]).output
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": os.pathsep.join(sys.path)}
    for words, offered in (
        (("facesearch", "ten"), {"tenants"}),
        (("facesearch", "keys", "create", "--http"), {"--http-status"}),
        (("facesearch", "import", "--faces", ""), {"one", "largest", "all"}),
    ):
        ask = ASKS[shell].format(words=shlex.join(words), line=shlex.quote(" ".join(words)))
        before = "compdef() { :; }\n" if shell == "zsh" else ""
        done = subprocess.run(
            [shell, "-c", f"{before}{script}\n{ask}"], capture_output=True, text=True, check=True, env=environment
        )
        # What a command or an option does may stand behind it.
        assert {re.split("[\t:]", line)[0] for line in done.stdout.splitlines()} == offered, done.stderr
        assert "," in done.stdout or shell == "bash" or words[1] != "ten", "what it does is whole"
