"""The files of a call log as entries."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from shared.call_log.chain import Damaged, Entry, LogFile, parse
from shared.errors import OperatorError


@dataclass(frozen=True)
class Place:
    """A line of a file. line: from 1."""

    path: Path
    line: int

    def __str__(self) -> str:
        return f"{self.path}, line {self.line}"


@dataclass(frozen=True)
class Line:
    """What is at a place. entry: None if it is none. is_torn: whether it has no end, as where a process or a machine
    stopped while it was written.
    """

    place: Place
    entry: Entry | None
    is_torn: bool = False


def chains(folders: Sequence[Path]) -> list[tuple[str, list[tuple[LogFile, Path]]]]:
    """Return the names of the chains in these folders, each with its files in order. Raises OperatorError if a folder
    cannot be read.
    """
    found = []
    for folder in dict.fromkeys(folder.expanduser().absolute() for folder in folders):
        try:
            found += [(file, path) for path in folder.iterdir() if (file := LogFile.of(path)) is not None]
        except OSError as error:
            raise OperatorError(
                f"cannot read the folder {folder} of a call log: {error.strerror}; a gateway writes one where "
                "FACESEARCH_CALL_LOG is set, below FACESEARCH_CALL_LOG_DIR: name that folder"
            ) from None
    return [(chain, list(files)) for chain, files in groupby(sorted(found), key=lambda each: each[0].chain)]


def lines(path: Path) -> Iterator[Line]:
    """Yield the lines of a file. Raises OperatorError if it cannot be read."""
    try:
        with path.open("rb") as file:
            for number, text in enumerate(file, 1):
                place = Place(path, number)
                if not text.endswith(b"\n"):
                    yield Line(place, None, is_torn=True)
                    continue
                try:
                    yield Line(place, parse(text[:-1]))
                except Damaged:
                    yield Line(place, None)
    except FileNotFoundError:
        raise OperatorError(f"{path} is gone since it was listed, perhaps for its age: do it again") from None
    except OSError as error:
        raise OperatorError(f"cannot read {path}: {error.strerror}") from None
