"""The help of every command has examples that the command takes, and shells complete commands and options."""

import json
import shlex
import subprocess
from collections.abc import Iterator

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


@pytest.mark.parametrize("option", ["-h", "--help"])
@pytest.mark.parametrize("path", sorted(COMMANDS))
def test_help_ends_with_the_examples(path: str, option: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # click keeps the options for help of the first context, which in a run of tests may be one of another test.
    monkeypatch.setattr(COMMANDS[path], "_help_option", None)
    said = CliRunner().invoke(main, [*path.split(), option]).output
    assert "\\" not in said, "an escape of click that was not understood"
    assert said.rstrip().endswith(f"facesearch {path} {EXAMPLES[path][-1]}".rstrip())


@pytest.mark.parametrize("group", ["audit", "facedbs", "keys", "models", "persons", "tenants", "webhooks"])
def test_a_group_lists_whole_sentences(group: str) -> None:
    listed = CliRunner().invoke(main, [group, "-h"], terminal_width=80).output.partition("Commands:")[2]
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


def test_bash_understands_its_script() -> None:
    script = CliRunner().invoke(main, ["completion", "bash"]).output
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)
