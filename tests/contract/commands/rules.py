"""The rule of each program that documents show, and of each language of a block."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from contract.commands import cli, cluster, containers, http_calls, makefile, python_programs, shell
from contract.commands.pages import INDENTED, Block, Span, WrongError
from contract.commands.shell import Command
from shared.contract import Status
from shared.settings import Settings
from shared.unknown_variables import COMPOSE_VARIABLES

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

FOREIGN: Final = frozenset({"js", "java", "php", "go"})
"""Languages of programs that tests/integration/test_snippets.py runs."""

OF_CALLERS: Final = frozenset({"FACESEARCH_URL", "FACESEARCH_KEY", "FACESEARCH_ADMIN_URL"})
"""Variables that programs of callers and of operators read."""

OTHER_OPTIONS: Final = {
    "--volumes": "docker compose down",
    "--privileged": "docker run",
    "--gpus": "docker run",
}
"""Options that are named alone and are not those of `facesearch`, and whose they are."""

VARIABLE: Final = re.compile(r"\b(?:FACESEARCH_[A-Z0-9_]*[A-Z0-9]\b(?!\*|_)|\w+_(?:CPUS|MEMORY|MAXMEMORY)\b)")
NGINX: Final = frozenset(
    {
        "location",
        "proxy_pass",
        "proxy_http_version",
        "proxy_set_header",
        "client_max_body_size",
        "client_body_buffer_size",
        "proxy_read_timeout",
    }
)
"""Directives of nginx that a document may use."""


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
            "tests/contract/commands/rules.py"
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


def check_variable(name: str) -> None:
    known = {*Settings.variables(), *COMPOSE_VARIABLES, *OF_CALLERS}
    if name.startswith("FACESEARCH_") and name not in known:
        raise WrongError(f"{name} is no setting; `facesearch settings` lists them")


def check_variables_of(text: str) -> None:
    """Check every variable that a text names."""
    compose = {*containers.variables(), *Settings.variables()}
    for name in VARIABLE.findall(text):
        check_variable(name)
        if re.match(r"(VALKEY|IMAGES|QDRANT|GATEWAY|WORKER|BACKUP)_", name) and name not in compose:
            raise WrongError(f"{name} is no variable of the compose files")


def check_block(block: Block, functions: frozenset[str] = frozenset()) -> None:
    """Raises WrongError with page and line."""
    context = Context(functions=functions | shell.functions(block.text))
    if block.language in ("sh", "bash"):
        pieces: list[tuple[int, str, list[str]]] = [(0, block.text, [])]
    elif block.language == "console":
        pieces = _session(block)
    else:
        pieces = []
        if block.language not in LANGUAGES:
            raise WrongError(
                f"{block.page}:{block.line}: no rule knows a block of {block.language}: correct its language, or give "
                "it a rule in tests/contract/commands/rules.py"
            )
        with _at(block, 0):
            LANGUAGES[block.language](block.text)
    for number, text, said in pieces:
        with _at(block, number):
            _check_syntax(text)
            found = shell.commands(text)
        for command in found:
            with _at(block, number + command.line):
                check_command(command, context)
        with _at(block, number):
            _check_said(said)


@contextmanager
def _at(block: Block, line: int) -> Iterator[None]:
    """Say where in a document something is wrong. line: in the block, from 0."""
    try:
        yield
    except WrongError as error:
        raise WrongError(f"{block.page}:{block.line + line}: {error}") from error


def check_cron(text: str, context: Context) -> None:
    found = shell.CRON.match(text)
    if found is None:
        raise WrongError(f"{text}: not five fields of time and a command")
    for command in shell.commands(text[found.end() :]):
        check_command(command, context)


def _check_syntax(text: str) -> None:
    bash = shutil.which("bash")
    assert bash is not None
    done = subprocess.run([bash, "-n"], input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise WrongError(f"bash does not take this: {done.stderr.strip()}")


def _session(block: Block) -> list[tuple[int, str, list[str]]]:
    """Return the commands of a session with their lines, from 0, and what each said."""
    steps: list[tuple[int, str, list[str]]] = []
    for number, line in enumerate(block.text.splitlines()):
        if line.startswith("$ "):
            steps.append((number, line[2:], []))
        elif steps:
            steps[-1][2].append(line)
        else:
            raise WrongError(f"{block.page}:{block.line}: a block of console begins with $ and a command")
    return steps


def _check_said(lines: list[str]) -> None:
    for line in lines:
        if line.startswith('{"status"'):
            _check_answer(line)


def _check_answer(line: str) -> None:
    try:
        answer = json.loads(line)
    except ValueError as error:
        raise WrongError(f"this is not JSON: {error}") from error
    if list(answer) != ["status", "message"] or answer["status"] not in list(Status):
        raise WrongError("an answer has a status of the contract and a message")


def _check_json(text: str) -> None:
    if text.startswith('{"status"'):
        for line in text.splitlines():
            _check_answer(line)
        return
    try:
        json.loads(re.sub("…", "", text))
    except ValueError as error:
        raise WrongError(f"this is not JSON: {error}") from error


def _check_yaml(text: str) -> None:
    try:
        document: Any = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise WrongError(f"this is not YAML: {error}") from error
    if isinstance(document, dict) and "services" in document:
        containers.check_services(document)
    elif isinstance(document, dict):
        cluster.check_values(document)
    else:
        raise WrongError("neither a piece of a compose file nor values of the chart")


def _check_nginx(text: str) -> None:
    if text.count("{") != text.count("}"):
        raise WrongError("braces do not match")
    for line in filter(None, (each.partition("#")[0].strip() for each in text.splitlines())):
        if line != "}" and (line[-1] not in ";{" or line.split()[0] not in NGINX):
            raise WrongError(f"{line}: not a directive that NGINX knows")


def _check_text(text: str) -> None:
    if re.search(r"^\$ ", text, re.MULTILINE):
        raise WrongError("commands with their output are a block of console")
    if not text.strip() or "\t" in text:
        raise WrongError("output has no tabs, and is not empty")


def _check_plain(text: str) -> None:
    """A block without a language is lines for cron, or figures as `make bench QUICK=1` prints them."""
    for line in text.splitlines():
        if shell.CRON.match(line):
            check_cron(line, Context())
        elif not all(re.fullmatch(r"[\w%]+=[\d.]+", word) for word in line.split()):
            raise WrongError(f"{line}: name the language of the block after ```")


def _check_indented(text: str) -> None:
    """An indented block is answers or, on each line, a command and, after two spaces, what it does."""
    if text.startswith("{"):
        _check_documents(text.replace("…", ""))
        return
    for line in text.splitlines():
        for command in shell.commands(re.split("  +", line)[0]):
            check_command(command, Context())


def _check_documents(text: str) -> None:
    """Check one JSON document after another."""
    rest = text.strip()
    while rest:
        try:
            _, length = json.JSONDecoder().raw_decode(rest)
        except ValueError as error:
            raise WrongError(f"this is not JSON: {error}") from error
        rest = rest[length:].strip()


def _check_foreign(text: str) -> None:
    if "X-API-Key" not in text:
        raise WrongError("a program of a caller sends X-API-Key; tests/integration/test_snippets.py runs it")


LANGUAGES: Final = {
    "": _check_plain,
    INDENTED: _check_indented,
    "json": _check_json,
    "yaml": _check_yaml,
    "nginx": _check_nginx,
    "text": _check_text,
    "python": python_programs.check_program,
    **dict.fromkeys(FOREIGN, _check_foreign),
}


def check_span(span: Span) -> bool:
    """Tell whether a rule knows the inline code. Raises WrongError with page and line if it is wrong."""
    try:
        return _check_inline(span.text)
    except WrongError as error:
        raise WrongError(f"{span.page}:{span.line}: `{span.text}`: {error}") from error


def _check_inline(text: str) -> bool:
    words = text.split()
    context = Context(whole=False)
    if not words or "facesearch is not installed" in text:
        return False
    if http_calls.REQUEST.fullmatch(text):
        http_calls.check_line(text)
    elif shell.CRON.match(text):
        check_cron(text, context)
    elif re.match(r"--[a-z]", text):
        _check_option(words)
    elif _program(words) in RULED and len(words) > 1:
        for command in shell.commands(text.replace("…", "example")):
            check_command(command, context)
    elif len(words) > 1 and words[0] != "import" and cli.exists(words[:1]) and re.match(r"[a-z-]", words[1]):
        cli.check(words, whole=False)
    elif len(words) > 1 and words[1].startswith("--") and cli.groups_of(words[0]):
        cli.check([cli.groups_of(words[0])[0], *words], whole=False)
    else:
        return False
    return True


def _program(words: list[str]) -> str:
    rest = [each for each in words if not shell.ASSIGNMENT.fullmatch(each)]
    return rest[0].removeprefix(".venv/bin/") if rest else ""


def _check_option(words: list[str]) -> None:
    if words[0].partition("=")[0] in OTHER_OPTIONS:
        return
    for value in words[1].split("|") if len(words) == 2 else [None]:
        chosen = [words[0], value] if value else words
        if not cli.option_exists(chosen):
            raise WrongError(f"no command of facesearch takes {' '.join(chosen)}; OTHER_OPTIONS has those of others")
