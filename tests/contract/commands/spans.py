"""The rule of commands, requests and options in running text."""

import re
from typing import Final

from contract.commands import cli, http_calls, shell
from contract.commands.pages import Span, WrongError
from contract.commands.programs import RULED, Context, check_command, check_cron

OTHER_OPTIONS: Final = {
    "--volumes": "docker compose down",
    "--privileged": "docker run",
    "--gpus": "docker run",
}
"""Options that are named alone and are not those of `facesearch`, and whose they are."""


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
