"""Shell text as the commands in it: enough of the grammar for what documents show, and a refusal of the rest."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from contract.commands.pages import WrongError

OPERATORS: Final = ("&&", "||", ">>", ">&", "<&", "<<", ">|", ";", "|", "&", "(", ")", "<", ">", "\n")
REDIRECTIONS: Final = frozenset({">>", ">&", "<&", ">|", "<", ">"})
RESERVED: Final = frozenset({"{", "}", "!", "if", "then", "elif", "else", "fi", "while", "until", "do", "done"})
ASSIGNMENT: Final = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)
CRON: Final = re.compile(r"(?:(?:\*|\d+)(?:[-/,]\d+)* +){5}(?=\S)")


@dataclass(frozen=True)
class Command:
    """A simple command. line: of its first word, from 0. variables: those set before it. words: the program and its
    arguments without quotes; none if it only sets variables.
    """

    line: int
    variables: dict[str, str]
    words: tuple[str, ...]


@dataclass(frozen=True)
class _Token:
    text: str
    line: int
    operator: bool = False


def functions(text: str) -> frozenset[str]:
    """Return the names of the functions that a text defines."""
    return frozenset(re.findall(r"^\s*(\w+)\(\)", text, re.MULTILINE))


def commands(text: str, line: int = 0) -> list[Command]:
    """Return all commands, also those in $(…). Raises WrongError."""
    nested: list[Command] = []
    tokens = list(_tokens(text, line, nested))
    return sorted([*_simple(tokens), *nested], key=lambda each: each.line)


def _simple(tokens: list[_Token]) -> Iterator[Command]:
    words: list[_Token] = []
    variables: dict[str, str] = {}
    skip_target = in_for = False
    for token in [*tokens, _Token("\n", 0, operator=True)]:
        if token.operator and token.text in REDIRECTIONS:
            skip_target = True
        elif token.operator:
            defines = token.text == "(" and len(words) == 1  # a function
            if (words or variables) and not defines:
                yield Command(words[0].line if words else token.line, variables, tuple(each.text for each in words))
            words, variables, in_for = [], {}, False
        elif skip_target:
            skip_target = False
        elif in_for or (not words and token.text in RESERVED):
            continue
        elif not words and token.text == "for":
            in_for = True
        elif not words and (found := ASSIGNMENT.fullmatch(token.text)):
            variables[found[1]] = found[2]
        else:
            words.append(token)


def _tokens(text: str, line: int, nested: list[Command]) -> Iterator[_Token]:
    """Yield words and operators. Comments and continued lines are left out; commands in $(…) go to nested."""
    position, word = 0, None
    while position < len(text):
        rest = text[position:]
        operator = next((each for each in OPERATORS if rest.startswith(each)), "")
        if operator or rest[0].isspace() or (rest[0] == "#" and word is None):
            if word is not None and not (word.isdigit() and operator in REDIRECTIONS):
                yield _Token(word, line)
            word = None
            if operator:
                _refuse(operator, rest)
                yield _Token(operator, line, operator=True)
            length = len(operator) or (len(rest.partition("\n")[0]) if rest[0] == "#" else 1)
        elif rest.startswith("\\\n"):
            length = 2
        else:
            part, length = _part(rest, line, nested)
            word = (word or "") + part
        line += rest[:length].count("\n")
        position += length
    if word is not None:
        yield _Token(word, line)


def _refuse(operator: str, rest: str) -> None:
    if operator == "<<":
        raise WrongError("a here-document: show a file, or teach tests/contract/commands/shell.py to read it")
    if operator == "<" and re.match(r"<\w", rest):
        raise WrongError("a shell takes <…> for a file: write what is to be replaced in capitals")


def _part(rest: str, line: int, nested: list[Command]) -> tuple[str, int]:
    """Return what the character or the quoted or expanded part at the beginning means, and its length."""
    if rest[0] == "`":
        raise WrongError("backquotes: write $(…)")
    if rest[0] == "\\":
        return rest[1:2], 2
    if rest[0] == "'":
        return _until(rest, "'")
    if rest[0] == "$":
        return _expansion(rest, line, nested)
    if rest[0] != '"':
        return rest[0], 1
    position, said = 1, ""
    while position < len(rest) and rest[position] != '"':
        if rest[position] == "\\":
            said, position = said + rest[position + 1 : position + 2], position + 2
        elif rest[position] == "$":
            part, length = _expansion(rest[position:], line, nested)
            said, position = said + part, position + length
        else:
            said, position = said + rest[position], position + 1
    if position >= len(rest):
        raise WrongError('a " has no end')
    return said, position + 1


def _until(rest: str, quote: str) -> tuple[str, int]:
    end = rest.find(quote, 1)
    if end < 0:
        raise WrongError(f"a {quote} has no end")
    return rest[1:end], end + 1


def _expansion(rest: str, line: int, nested: list[Command]) -> tuple[str, int]:
    """Return $(…) as it is written, after reading the commands in it, or the bare $."""
    if not rest.startswith("$("):
        return "$", 1
    depth = 0
    for position, character in enumerate(rest):
        depth += (character == "(") - (character == ")")
        if position and not depth and character == ")":
            inner = rest[2:position]
            if not inner.startswith("("):
                nested.extend(commands(inner, line))
            return rest[: position + 1], position + 1
    raise WrongError("a $( has no end")
