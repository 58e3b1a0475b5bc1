"""What a check says of a file."""

from pathlib import Path
from typing import NamedTuple


class Result(NamedTuple):
    """One check of one file. reason: one line that says what is wrong; "" where nothing is."""

    file: Path
    reason: str = ""


def one_line(text: str) -> str:
    return " ".join(text.split())
