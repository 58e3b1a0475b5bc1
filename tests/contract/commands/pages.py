"""What documents show: fenced blocks and inline code, each with its place."""

import re
from dataclasses import dataclass
from typing import Final

from documents import DOCUMENTS, ROOT

FENCE: Final = re.compile(r"^ *```(.*)$")


class WrongError(Exception):
    """What is wrong with a command of a document, and what to do."""


INDENTED: Final = "indented"
"""The language of a block that is only indented."""


@dataclass(frozen=True)
class Block:
    """A block of code. page: its path. index: among the blocks of the page. line: of its first line of text."""

    page: str
    index: int
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}-{self.index}"


@dataclass(frozen=True)
class Span:
    """Inline code. Its line breaks are spaces."""

    page: str
    line: int
    text: str


def pages() -> list[str]:
    """Return the paths of all documents except decisions and the changelog, which tell of the past."""
    paths = [path.relative_to(ROOT).as_posix() for path in DOCUMENTS]
    return [path for path in paths if path != "CHANGELOG.md" and not path.startswith("docs/decisions/")]


def text_of(page: str) -> str:
    return (ROOT / page).read_text()


def parsed(page: str, text: str) -> tuple[list[Block], list[Span]]:
    """Return the blocks and the inline code of a page. Raises WrongError if a block has no end."""
    blocks: list[Block] = []
    rest: list[str] = []
    lines = text.splitlines()
    number = 0
    while number < len(lines):
        fence = FENCE.match(lines[number])
        if fence:
            language, begins, end = fence[1].strip(), number + 1, _end_of_fence(page, lines, number)
            number = end + 1
        elif lines[number].startswith("    ") and not (rest and rest[-1]):
            language, begins, end = INDENTED, number, number
            while end < len(lines) and lines[end].startswith("    "):
                end += 1
            number = end
        else:
            rest.append(lines[number])
            number += 1
            continue
        code = "".join(f"{each.removeprefix('    ' if language == INDENTED else '')}\n" for each in lines[begins:end])
        blocks.append(Block(page, len(blocks), begins + 1, language, code))
        rest += [""] * (number - len(rest))
    return blocks, spans(page, "\n".join(rest))


def _end_of_fence(page: str, lines: list[str], begins: int) -> int:
    """Return the index of the line that ends a block."""
    for number in range(begins + 1, len(lines)):
        if fence := FENCE.match(lines[number]):
            if fence[1].strip():
                raise WrongError(f"{page}:{number + 1}: a block begins inside a block; end that of line {begins + 1}")
            return number
    raise WrongError(f"{page}:{begins + 1}: this block has no end")


def spans(page: str, text: str) -> list[Span]:
    found = re.finditer(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", text, re.DOTALL)
    return [
        Span(page, text.count("\n", 0, each.start()) + 1, " ".join(each[2].replace("\\|", "|").split()))
        for each in found
    ]


def all_blocks() -> list[Block]:
    return [block for page in pages() for block in parsed(page, text_of(page))[0]]
