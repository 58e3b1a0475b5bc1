"""The rule of each program that documents show."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from contract.commands import cli, cluster, containers, http_calls, makefile, python_programs, shell
from contract.commands.pages import WrongError
from contract.commands.shell import Command
from contract.commands.variables import check_variable

OTHERS: Final = {
    "base64": "encodes an image",
    "cat": "reads a key from its file",
    "cd": "goes to the folder of the compose files",
    "date": "makes an Idempotency-Key",
    "echo": "writes a line into .env",
    "export": "sets a variable",
    "go": "runs a program of docs about clients",
    "head": "makes a key",
    "grep": "finds an id in an answer",
    "install": "makes a folder that belongs to a user",
    "java": "runs a program of docs about clients",
    "kill": "is named in a sentence",
    "ls": "lists backups",
    "redis-cli": "changes Redis",
    "ss": "counts connections",
    "tar": "copies backups",
    "tee": "keeps an answer",
    "valkey-cli": "changes Valkey",
}
"""Programs of which no more is checked than the syntax of their block, and what for documents show them."""

WRAPPERS: Final = frozenset({"sudo", "exec", "xargs", "nice"})
"""Programs that run the command after them."""

RULED: Final = frozenset(
    {"facesearch", "make", "curl", "docker", "helm", "kubectl", "python", "python3", "pip", "apt-get"}
)


@dataclass(frozen=True)
class Context:
    """whole: whether it is something to paste, which has to be complete. functions: that the page defines."""

    whole: bool = True
    functions: frozenset[str] = field(default_factory=frozenset)


def check_command(command: Command, context: Context) -> None:
    """Raises WrongError."""
    for name in command.variables:
        check_variable(name)
    words = list(command.words)
    while words and words[0] in WRAPPERS:
        words = words[1:]
    if not words:
        return
    program, *arguments = words
    program = program.removeprefix(".venv/bin/")

    def inner(rest: list[str]) -> None:
        check_command(Command(command.line, {}, tuple(rest)), context)

    if program == "export":
        for name in (each.partition("=")[0] for each in arguments):
            check_variable(name)
    elif program in RULED:
        _ruled(program, arguments, command.variables, inner, whole=context.whole)
    elif program not in OTHERS and program not in context.functions:
        raise WrongError(
            f"no rule knows the program {program}: correct it, or add it to OTHERS or to the rules in "
            "tests/contract/commands/programs.py"
        )


def _ruled(
    program: str, arguments: list[str], variables: dict[str, str], inner: containers.Inner, *, whole: bool
) -> None:
    """Check a program that has a rule: one of RULED."""
    checks: dict[str, Callable[[], None]] = {
        "facesearch": lambda: cli.check(arguments, whole=whole),
        "make": lambda: makefile.check(arguments),
        "curl": lambda: http_calls.check_curl(arguments),
        "docker": lambda: containers.check(arguments, inner),
        "helm": lambda: cluster.check_helm(arguments, whole=whole),
        "kubectl": lambda: cluster.check_kubectl(arguments, inner, whole=whole),
        "python": lambda: python_programs.check(arguments, variables),
        "python3": lambda: python_programs.check(arguments, variables),
        "pip": lambda: python_programs.check_pip(arguments),
        "apt-get": lambda: python_programs.check_apt(arguments),
    }
    checks[program]()


def check_cron(text: str, context: Context) -> None:
    found = shell.CRON.match(text)
    if found is None:
        raise WrongError(f"{text}: not five fields of time and a command")
    for command in shell.commands(text[found.end() :]):
        check_command(command, context)
