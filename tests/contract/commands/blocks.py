"""The rule of each language of a block in documents."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from contract.commands import python_programs, shell, texts
from contract.commands.pages import INDENTED, Block, WrongError
from contract.commands.programs import Context, check_command, check_cron

FOREIGN: Final = frozenset({"js", "java", "php", "go"})
"""Languages of programs that tests/integration/test_snippets.py runs."""


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
                "it a rule in tests/contract/commands/blocks.py"
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
            texts.check_answer(line)


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
        texts.check_documents(text.replace("…", ""))
        return
    for line in text.splitlines():
        for command in shell.commands(re.split("  +", line)[0]):
            check_command(command, Context())


LANGUAGES: Final = {
    "": _check_plain,
    INDENTED: _check_indented,
    "json": texts.check_json,
    "yaml": texts.check_yaml,
    "nginx": texts.check_nginx,
    "ini": texts.check_unit,
    "text": texts.check_text,
    "python": python_programs.check_program,
    **dict.fromkeys(FOREIGN, texts.check_foreign),
}
